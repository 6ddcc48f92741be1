"""What A2-FPN's neck costs, as ``tools/analysis/benchmark_neck.py`` offers it."""

import argparse
from contextlib import nullcontext
from statistics import median
from time import perf_counter

import torch
from mmdet.registry import MODELS
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.config import load_config
from mmagg.apis.hardware import hardware
from mmagg.apis.inference import for_inference
from mmagg.cli.arguments import add_cfg_options, positive
from mmagg.costs.memory import MIB, MemoryMeter
from mmagg.costs.plain_a2fpn import plainly
from mmagg.io.errors import InputError
from mmagg.models.necks import A2FPN

FORMS = {
    'plain': lambda neck: plainly(neck, unfold=True),
    'plain, our reassembly': plainly,
    'mmagg': lambda _: nullcontext(),
}


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_neck.py``."""
    parser = argparse.ArgumentParser(
        description="Time and peak memory of a config's A2-FPN alone, on random features: by the paper's equations as "
        'they are written, with an unfolding or with our operators for the reassembly, and as mmagg computes them.',
        epilog='example: python tools/analysis/benchmark_neck.py configs/a2fpn/mask-rcnn_r50_a2fpn_1x_coco.py',
    )
    parser.add_argument('config', help='config file with an A2FPN neck')
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(800, 1344), metavar=('H', 'W'), help='image size (800 1344)'
    )
    parser.add_argument('--train', action='store_true', help='forward and backward instead of inference')
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each, in turns (%(default)s)'
    )
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    add_cfg_options(parser, 'change the config, e.g. model.neck.joint_level=False')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.config, args.cfg_options).model.neck
    torch.manual_seed(0)
    neck = MODELS.build(config)
    if not isinstance(neck, A2FPN):
        raise InputError(f'{args.config}: the neck is a {type(neck).__name__}, not an A2FPN')
    neck = neck.to(args.device)
    neck = neck if args.train else for_inference(neck)
    stages = random_stages(config.in_channels, tuple(args.shape), args.device)

    def run() -> list[Tensor]:
        with torch.set_grad_enabled(args.train):
            levels = neck(stages)
            if args.train:
                sum(x.sum() for x in levels).backward()
        if 'cuda' in args.device:
            torch.cuda.synchronize()
        return levels

    memory, seconds = {}, {name: [] for name in FORMS}
    outputs = {}
    for name, form in FORMS.items():
        with form(neck):
            outputs[name] = [x.detach() for x in run()]
            with MemoryMeter(args.device) as meter:
                run()
        memory[name] = meter.peak() / MIB
    difference = max(
        (a - b).abs().max().item() for name in FORMS for a, b in zip(outputs[name], outputs['mmagg'], strict=True)
    )
    largest = max(x.abs().max().item() for x in outputs['plain'])
    del outputs
    for _ in tqdm(range(args.runs), desc='benchmark', leave=False):
        for name, form in FORMS.items():
            with form(neck):
                run()  # what the other form left in the caches and the allocator is not this one's
                start = perf_counter()
                run()
                seconds[name].append(perf_counter() - start)
    times = {name: median(values) for name, values in seconds.items()}
    machine = hardware(args.device)
    print(
        f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}\n'
        f'work      {args.config}, {args.shape[0]} x {args.shape[1]}, {"training" if args.train else "inference"}; '
        f'largest difference {difference:.1e} of {largest:.1e}\n\n{"":<24}{"s":>8}{"MiB":>8}{"mmagg / it":>20}'
    )
    for name in FORMS:
        ratios = f'{times["mmagg"] / times[name]:>12.2f}{memory["mmagg"] / memory[name]:>8.2f}'
        print(f'{name:<24}{times[name]:>8.3f}{memory[name]:>8.0f}{ratios}')


def random_stages(channels: list[int], shape: tuple[int, int], device: str) -> list[Tensor]:
    """The outputs of a backbone's four stages, non-negative as behind a ReLU."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(-(-shape[0] // stride), -(-shape[1] // stride)) for stride in (4, 8, 16, 32)]
    maps = [torch.randn(1, c, *size, generator=generator).relu() for c, size in zip(channels, sizes, strict=True)]
    layout = torch.channels_last if device == 'cpu' else torch.contiguous_format
    return [x.to(device).contiguous(memory_format=layout) for x in maps]
