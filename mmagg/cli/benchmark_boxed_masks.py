"""What masks in boxes cost beside the boxes, as ``tools/analysis/benchmark_boxed_masks.py`` offers it."""

import argparse
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from mmagg.apis.hardware import hardware
from mmagg.apis.inference import for_inference
from mmagg.cli.arguments import add_cfg_options, positive
from mmagg.costs import boxed_masks as measure
from mmagg.costs.random_model import random_model
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.models.heads import BoxedMaskHead

PLACES = (100, 200)
DETECTIONS = (1, 10, 50, 100)


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_boxed_masks.py``."""
    parser = argparse.ArgumentParser(
        description="Time and peak memory of the masks of a config's BoxedMaskHead (BlendMask, MEInst) alone, for one "
        f'image, on random maps: coefficients at {" and ".join(map(str, PLACES))} places against a convolution of all '
        'levels from which they are taken; and all that comes between the boxes and the masks of the image, for '
        f'{", ".join(map(str, DETECTIONS))} detections of all sizes.',
        epilog='example: python tools/analysis/benchmark_boxed_masks.py configs/blendmask/blendmask_r50_fpn_1x_coco.py',
    )
    parser.add_argument('config', help='config file of a detector with a BoxedMaskHead')
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(800, 1216), metavar=('H', 'W'), help='image size (800 1216)'
    )
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each, in turns (%(default)s)'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything measured here as well')
    parser.add_argument('--device', default='cpu', help='e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    add_cfg_options(parser, 'change the config, e.g. model.mask_head.masks.mask_size=28')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f'--device {args.device}: {str(error).splitlines()[0]}') from error
    if args.threads:
        torch.set_num_threads(args.threads)
    model = random_model(args.config, args.cfg_options)
    head = getattr(model, 'mask_head', None)
    if not isinstance(head, BoxedMaskHead):
        raise InputError(f'{args.config}: the mask head is a {type(head).__name__}, not a BoxedMaskHead')
    head.post_process.mask_format = 'bitmap'  # encoding is no part of this
    report = {
        'hardware': hardware(args.device),
        'config': args.config,
        'shape': list(args.shape),
        'runs': args.runs,
        **measured(model.to(args.device).eval(), tuple(args.shape), args.runs),
    }
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')


def measured(model: nn.Module, shape: tuple[int, int], runs: int) -> dict:
    """`coefficients`, comparisons, none for a head without sparse ones; `masks`, by the number of detections."""
    head = model.mask_head
    places = PLACES if head.coefficients is not None and not head.coefficients.dense else ()
    coefficients = []
    with tqdm(total=2 * len(places) + 1, desc='benchmark', leave=False) as bar:
        for backward in (True, False):  # training has the memory layout that the model is built with
            model = model if backward else for_inference(model)
            feats = measure.random_pyramid(model, shape)
            for number in places:
                found = measure.compare_coefficients(head, feats, shape, number, backward=backward, runs=runs)
                coefficients.append(found)
                bar.update()
        masks = measure.time_masks(head, feats, shape, DETECTIONS, runs)
        bar.update()
    return {'coefficients': coefficients, 'masks': masks}


def table(report: dict) -> str:
    """The report as text."""
    machine, (height, width) = report['hardware'], report['shape']
    lines = [
        f'hardware  {machine["gpu"] or machine["cpu"]}, {machine["threads"]} threads, torch {machine["torch"]}',
        f'work      {report["config"]}, 1 image of {height} x {width}, medians of {report["runs"]} runs',
    ]
    if report['coefficients']:
        columns = ('dense ms', 'sparse ms', 'ratio', 'dense MiB', 'sparse MiB', 'ratio', 'difference')
        lines += ['', f'{"coefficients":<32}' + ''.join(f'{name:>12}' for name in columns)]
    for row in report['coefficients']:
        numbers = ''
        for unit in ('ms', 'mib'):
            dense, sparse = row['dense'][unit], row['sparse'][unit]
            numbers += f'{dense:>12.1f}{sparse:>12.1f}{dense / sparse:>12.1f}'
        lines.append(f'{row["places"]:>3} places, {row["pass"]:<20}{numbers}{row["difference"]:>12.1e}')
    columns = (*measure.STAGES, 'all ms', 'MiB')
    lines += ['', f'{"masks":<32}' + ''.join(f'{name:>13}' for name in columns)]
    for number, row in report['masks'].items():
        values = (*(row['stages_ms'].get(stage, 0) for stage in measure.STAGES), row['ms'], row['mib'])
        lines.append(f'{number:>3} detections{"":<18}' + ''.join(f'{value:>13.1f}' for value in values))
    ratio = report['masks'][100]['ms'] / report['masks'][10]['ms']
    return '\n'.join([*lines, f'100 / 10 detections: {ratio:.2f}'])
