"""Time content-aware reassembly, form by form."""

import argparse

from mmagg.cli.arguments import add_measured_device, positive
from mmagg.cli.measuring import add_json, add_runs, add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_reassembly.py``."""
    parser = argparse.ArgumentParser(
        description='Time and peak memory of content-aware reassembly, up and down by 2, at the sizes of '
        'A2-FPN (256 channels, 5 x 5 kernels, P2 to P5). On the CPU the form of mmagg is compared with '
        'unfolding and with a pass at full resolution; on a GPU the Triton kernels with mmcv and PyTorch, in float32, '
        'float16 and bfloat16. The last column relates the bytes that must move at least to the speed of a copy.',
        epilog='example: python tools/analysis/benchmark_reassembly.py --device cuda --json reassembly.json',
    )
    add_shape(parser, (800, 1344), 'size of an image')
    parser.add_argument('--batch', type=positive, default=2, metavar='B', help='images at once (%(default)s)')
    add_runs(parser, 'timed runs of each form, in turns')
    add_measured_device(parser)
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.reassembly import benchmark_reassembly, table

    print_report(args, benchmark_reassembly, table)
