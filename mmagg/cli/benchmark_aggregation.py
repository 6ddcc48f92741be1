"""Time AggMask's aggregation alone."""

import argparse

from mmagg.cli.arguments import add_measured_device, positive


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
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(200, 336), metavar=('H', 'W'), help='size of a mask (200 336)'
    )
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each, in turns (%(default)s)'
    )
    add_measured_device(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.aggregation import benchmark_aggregation, table
    from mmagg.costs.timing import use_threads

    use_threads(args.threads)
    report = benchmark_aggregation(
        candidates=args.candidates,
        shape=tuple(args.shape),
        runs=args.runs,
        device=args.device,
    )
    print(table(report))
