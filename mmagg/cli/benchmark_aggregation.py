"""Time AggMask's aggregation alone."""

import argparse

from mmagg.cli.arguments import add_measured_device, positive
from mmagg.cli.measuring import add_runs, add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_aggregation.py``."""
    parser = argparse.ArgumentParser(
        description="Time and peak memory of AggMask's aggregation (4 neighbours, 16 context channels, 3 "
        'layers) of evenly spread cells of a 40 x 40 grid: as the release computes it, a grouped convolution over a '
        'gathered stack per candidate, and as mmagg does.',
        epilog='example: python tools/analysis/benchmark_aggregation.py --candidates 300 --shape 200 336',
    )
    parser.add_argument(
        '--candidates', type=positive, default=300, metavar='N', help='masks to aggregate (%(default)s)'
    )
    add_shape(parser, (200, 336), 'size of a mask')
    add_runs(parser)
    add_measured_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.aggregation import benchmark_aggregation, table

    print_report(args, benchmark_aggregation, table)
