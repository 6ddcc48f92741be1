"""Time A2-FPN's neck alone."""

import argparse

from mmagg.cli.arguments import add_cfg_options, add_measured_device
from mmagg.cli.measuring import add_runs, add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_neck.py``."""
    parser = argparse.ArgumentParser(
        description="Time and peak memory of a config's A2-FPN alone, on random features: by the paper's equations as "
        'they are written, with an unfolding or with our operators for the reassembly, and as mmagg computes them.',
        epilog='example: python tools/analysis/benchmark_neck.py configs/a2fpn/mask-rcnn_r50_a2fpn_1x_coco.py',
    )
    parser.add_argument('config', help='config file with an A2FPN neck')
    add_shape(parser, (800, 1344), 'image size')
    parser.add_argument('--train', action='store_true', help='forward and backward instead of inference')
    add_runs(parser)
    add_measured_device(parser)
    add_cfg_options(parser, 'change the config, e.g. model.neck.joint_level=False')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.neck import benchmark_neck, table

    print_report(args, benchmark_neck, table)
