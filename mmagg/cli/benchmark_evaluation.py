"""Time the way from soft masks to scores."""

import argparse

from mmagg.cli.arguments import positive, seed
from mmagg.cli.measuring import add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_evaluation.py``."""
    parser = argparse.ArgumentParser(
        description='Time from soft masks to mask and box AP: what follows NMS in a SOLO head, RLE and the metric, '
        "ours and MMDetection's, on the same generated detections, one run; and in how many pixels the masks differ.",
    )
    parser.add_argument('--images', type=positive, default=500, metavar='N', help='some 50 masks each (%(default)s)')
    add_shape(parser, (480, 640), '')
    parser.add_argument('--seed', type=seed, default=0, metavar='S', help='of what is generated (%(default)s)')
    parser.add_argument('--device', default='cpu', help='where the masks lie, e.g. cuda:0 (%(default)s)')
    parser.add_argument('--threads', type=positive, metavar='T', help='CPU threads of PyTorch')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.evaluation import benchmark_evaluation, table

    print_report(args, benchmark_evaluation, table)
