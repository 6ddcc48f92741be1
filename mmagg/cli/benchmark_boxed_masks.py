"""Time masks in boxes (BlendMask, MEInst) alone."""

import argparse

from mmagg.cli.arguments import add_cfg_options, add_measured_device
from mmagg.cli.measuring import add_json, add_runs, add_shape, print_report


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
    add_shape(parser, (800, 1216), 'image size')
    add_runs(parser)
    add_json(parser)
    add_measured_device(parser)
    add_cfg_options(parser, 'change the config, e.g. model.mask_head.masks.mask_size=28')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.boxed_masks import benchmark_boxed_masks, table

    print_report(args, benchmark_boxed_masks, table)
