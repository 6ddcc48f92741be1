"""Time one model or two, stage by stage."""

import argparse
from functools import partial

from mmagg.cli.arguments import MODEL, add_cfg_options, add_compile_flag, add_measured_device, add_runtime, positive
from mmagg.cli.measuring import add_json, add_runs, add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/benchmark.py``."""
    parser = argparse.ArgumentParser(
        description='Time of each stage (median of warm runs) and peak memory of a model with random weights on random '
        'images; with --vs of two models in turns, with the same weights where they fit.',
        epilog='example: python tools/analysis/benchmark.py configs/solo/solo_r50_fpn_1x_coco.py '
        '--vs mmdet::solo/solo_r50_fpn_1x_coco.py --train',
    )
    parser.add_argument('config', help=MODEL)
    parser.add_argument('--vs', metavar='CONFIG2', help='compare with this config; ratios are CONFIG / CONFIG2')
    add_shape(parser, (800, 1216), 'size of the images, multiples of 32')
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
    add_runs(parser, 'timed runs of each model', 5)
    parser.add_argument(
        '--layout',
        choices=['tool', 'contiguous', 'channels_last'],
        default='tool',
        help="memory layout of the weights; 'tool': as each project's own tools run the model, which is contiguous, "
        'but channels_last for inference on the CPU with ours (%(default)s)',
    )
    add_json(parser)
    add_measured_device(parser)
    add_cfg_options(parser, 'change the configs (both of them), e.g. model.backbone.depth=18')
    add_compile_flag(parser)
    add_runtime(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    from mmagg.costs.benchmark import benchmark, table

    print_report(args, partial(benchmark, threads=args.threads), table)
