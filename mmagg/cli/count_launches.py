"""Count what a model launches and waits for on a GPU, on a pretended one."""

import argparse

from mmagg.cli.arguments import CONFIG, add_cfg_options, positive
from mmagg.cli.measuring import add_json, add_shape, print_report


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/count_launches.py``."""
    parser = argparse.ArgumentParser(
        description='Count what a model with random weights launches on a GPU, where it waits for it, and from which '
        'lines. No GPU is needed: a pretended one computes on the CPU. What CUDA would refuse is refused.',
        epilog='example: python tools/analysis/count_launches.py configs/solo/solo_r50_fpn_1x_coco.py --train '
        '--shape 256 384',
    )
    parser.add_argument('config', help=CONFIG)
    parser.add_argument('--train', action='store_true', help='a training step instead of inference')
    add_shape(parser, (800, 1344), 'size of the images, multiples of 32')
    parser.add_argument(
        '--candidates',
        type=positive,
        metavar='N',
        help='in inference, let N masks be candidates in heads of the SOLO family (300), and find N boxes '
        'where they come from FCOS (100)',
    )
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
    parser.add_argument('--amp', choices=['fp16', 'bf16'], help='under autocast')
    add_json(parser, 'everything counted')
    add_cfg_options(parser, 'change the config, e.g. model.backbone.depth=18')
    return parser


def run(args: argparse.Namespace) -> None:
    """Count as the arguments of `parser` say."""
    from mmagg.costs.launches import count_launches, table

    print_report(args, count_launches, table)
