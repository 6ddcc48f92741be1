"""Time content-aware reassembly, form by form."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_measured_device, positive
from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark_reassembly.py``."""
    parser = argparse.ArgumentParser(
        description='Time and peak memory of content-aware reassembly, up and down by 2, at the sizes of '
        'A2-FPN (256 channels, 5 x 5 kernels, P2 to P5). On the CPU the form of mmagg is compared with '
        'unfolding and with a pass at full resolution; on a GPU the Triton kernels with mmcv and PyTorch, in float32, '
        'float16 and bfloat16. The last column relates the bytes that must move at least to the speed of a copy.',
        epilog='example: python tools/analysis/benchmark_reassembly.py --device cuda --json reassembly.json',
    )
    parser.add_argument(
        '--shape', type=positive, nargs=2, default=(800, 1344), metavar=('H', 'W'), help='size of an image (800 1344)'
    )
    parser.add_argument('--batch', type=positive, default=2, metavar='B', help='images at once (%(default)s)')
    parser.add_argument(
        '--runs', type=positive, default=3, metavar='R', help='timed runs of each form, in turns (%(default)s)'
    )
    add_measured_device(parser)
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything measured here as well')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    from mmagg.costs.reassembly import benchmark_reassembly, table
    from mmagg.costs.timing import use_threads
    from mmagg.io.files import write_json

    use_threads(args.threads)
    report = benchmark_reassembly(
        shape=tuple(args.shape),
        batch=args.batch,
        runs=args.runs,
        device=args.device,
    )
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')
