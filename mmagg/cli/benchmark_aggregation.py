"""What the aggregation alone costs, as ``tools/analysis/benchmark_aggregation.py`` offers it."""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from tqdm import tqdm

from mmagg.apis.hardware import hardware
from mmagg.cli.arguments import positive
from mmagg.costs.memory import MIB, MemoryMeter
from mmagg.io.errors import InputError
from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_of_gathered, grid_neighbours

GRID, CONTEXT = 40, 16


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_aggregation.py``."""
    parser = argparse.ArgumentParser(
        description=f"Time and peak memory of AggMask's aggregation (4 neighbours, {CONTEXT} context channels, 3 "
        f'layers) of evenly spread cells of a {GRID} x {GRID} grid: as the release computes it, a grouped convolution '
        'over a gathered stack per candidate, and as mmagg does.',
        epilog='example: python tools/analysis/benchmark_aggregation.py --candidates 300 --shape 200 336',
    )
    parser.add_argument(
        '--candidates', type=positive, default=300, metavar='N', help='masks to aggregate (%(default)s)'
    )
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(200, 336), metavar=('H', 'W'), help='size of a mask (200 336)'
    )
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each, in turns (%(default)s)'
    )
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    return parser


@torch.no_grad()
def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.candidates > GRID**2:
        raise InputError(f'--candidates {args.candidates}: the grid has {GRID**2} cells')
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    forms = {'release': stacks, 'mmagg': dynamic_conv_of_gathered}
    inputs = random_inputs(args.candidates, tuple(args.shape), device)
    both = forms.items()
    results = {name: form(*inputs) for name, form in tqdm(both, desc='warm-up', leave=False)}
    difference = (results['release'] - results['mmagg']).abs().max().item()
    del results
    memory, seconds = {}, {name: [] for name in forms}
    for name, form in tqdm(both, desc='memory', leave=False):
        with MemoryMeter(device) as meter:
            form(*inputs)
        memory[name] = meter.peak() / MIB
    for _ in tqdm(range(args.runs), desc='benchmark', leave=False):
        for name, form in forms.items():
            seconds[name].append(timed(lambda form=form: form(*inputs), device))
    times = {name: median(values) for name, values in seconds.items()}
    machine = hardware(args.device)
    needed = multiply_adds(inputs[-1]) * args.candidates * args.shape[0] * args.shape[1] / 1e9
    print(
        f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}\n'
        f'work      {args.candidates} masks of {args.shape[0]} x {args.shape[1]}, {needed:.1f} G multiply-adds needed; '
        f'largest difference {difference:.1e}\n\n'
        f'{"":<10}{"s":>8}{"G/s":>8}{"MiB":>8}'
    )
    for name in forms:
        print(f'{name:<10}{times[name]:>8.3f}{needed / times[name]:>8.1f}{memory[name]:>8.0f}')
    print(f'{"ratio":<10}{times["mmagg"] / times["release"]:>8.3f}{"":>8}{memory["mmagg"] / memory["release"]:>8.3f}')


def random_inputs(
    candidates: int, shape: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor, DynamicConvSpec]:
    """Arguments of `dynamic_conv_of_gathered` for evenly spread cells."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.arange(candidates) * GRID**2 // candidates
    used, index = grid_neighbours(GRID, GRID, '4')[cells].unique(return_inverse=True)
    spec = DynamicConvSpec(index.shape[1] + CONTEXT)
    sizes = (len(used), *shape), (CONTEXT, *shape), (candidates, spec.num_params)
    maps, context, params = (torch.randn(size, generator=generator).to(device) for size in sizes)
    return maps, index, context, 0.1 * params, spec


def stacks(maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """The release's form: a stack of inputs per candidate, one group of a convolution each."""
    gathered = maps[index.to(maps.device)]
    return dynamic_conv(torch.cat([gathered, shared.expand(len(index), -1, -1, -1)], 1), params, spec)


def multiply_adds(spec: DynamicConvSpec) -> int:
    """Multiply-adds of one net per pixel."""
    return sum(o * i * spec.kernel_size**2 for o, i in spec.layers)


def timed(run: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of a run."""
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    wait()
    start = perf_counter()
    run()
    wait()
    return perf_counter() - start
