"""Time masks in boxes (BlendMask, MEInst) alone."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, add_measured_device, positive
from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_boxed_masks.py``."""
    parser = argparse.ArgumentParser(
        description="Time and peak memory of the masks of a config's BoxedMaskHead (BlendMask, MEInst) alone, for one "
        'image, on random maps: coefficients at 100 and 200 places against a convolution of all levels from which '
        'they are taken; and all that comes between the boxes and the masks of the image, for 1, 10, 50, 100 '
        'detections of all sizes.',
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
    add_measured_device(parser)
    add_cfg_options(parser, 'change the config, e.g. model.mask_head.masks.mask_size=28')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    from mmagg.costs.boxed_masks import benchmark_boxed_masks, table
    from mmagg.costs.timing import use_threads
    from mmagg.io.files import write_json

    use_threads(args.threads)
    report = benchmark_boxed_masks(
        args.config,
        shape=tuple(args.shape),
        runs=args.runs,
        device=args.device,
        cfg_options=args.cfg_options,
    )
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')
