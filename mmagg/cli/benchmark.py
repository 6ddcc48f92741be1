"""Time one model or two, stage by stage."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, add_compile_flag, add_measured_device, positive
from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark.py``."""
    parser = argparse.ArgumentParser(
        description='Time of each stage (median of warm runs) and peak memory of a model with random weights on random '
        'images; with --vs of two models in turns, with the same weights where they fit.',
        epilog='example: python tools/analysis/benchmark.py configs/solo/solo_r50_fpn_1x_coco.py '
        '--vs mmdet::solo/solo_r50_fpn_1x_coco.py --train',
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument('--vs', metavar='CONFIG2', help='compare with this config; ratios are CONFIG / CONFIG2')
    parser.add_argument(
        '--shape',
        type=positive,
        nargs=2,
        default=(800, 1216),
        metavar=('H', 'W'),
        help='size of the images, multiples of 32 (800 1216)',
    )
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help='in inference, let N masks be candidates in heads of the SOLO family (300), and find N boxes '
        'where they come from FCOS (100); not for other heads',
    )
    parser.add_argument('--train', action='store_true', help='measure a training step instead of inference')
    parser.add_argument(
        '--batch-size',
        type=positive,
        default=2,
        metavar='B',
        help='images of a training step (%(default)s); inference has one',
    )
    parser.add_argument(
        '--objects', type=positive, default=10, metavar='N', help='objects per training image (%(default)s)'
    )
    parser.add_argument('--runs', type=positive, default=5, metavar='R', help='timed runs of each model (%(default)s)')
    parser.add_argument(
        '--layout',
        choices=['tool', 'contiguous', 'channels_last'],
        default='tool',
        help="memory layout of the weights; 'tool': as each project's own tools run the model, which is contiguous, "
        'but channels_last for inference on the CPU with ours (%(default)s)',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write everything measured here as well')
    add_measured_device(parser)
    add_cfg_options(parser, 'change the configs (both of them), e.g. model.backbone.depth=18')
    add_compile_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.json is not None and args.json.is_dir():
        raise InputError(f'--json {args.json}: is a folder, name a file')
    from mmagg.costs.benchmark import benchmark, table
    from mmagg.costs.timing import use_threads
    from mmagg.io.files import write_json

    use_threads(args.threads)
    report = benchmark(
        args.config,
        vs=args.vs,
        shape=tuple(args.shape),
        candidates=args.candidates,
        train=args.train,
        batch_size=args.batch_size,
        objects=args.objects,
        runs=args.runs,
        layout=args.layout,
        device=args.device,
        cfg_options=args.cfg_options,
        compiled=args.compile,
    )
    print(table(report))
    if args.json is not None:
        write_json(report, args.json)
        print(f'written to {args.json}')
