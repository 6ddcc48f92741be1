"""Show what the masks of grid cells are made of."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_model, add_model_options, fraction, positive


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/show_representations.py``."""
    parser = argparse.ArgumentParser(
        description='Show what masks are made of. A row per instance (AggMask, Fig. 5): the instance, the mask '
        'representations that its cell aggregates, where they stand in the grid (red: inside, blue: outside), and its '
        'mask. Without an aggregator: the local masks of the cell and its four neighbours. With --sheet: the masks of '
        'all cells of a level (SOLO, Fig. 4).',
        epilog='example: python tools/analysis/show_representations.py configs/aggmask/'
        'aggmask-solo_r50_fpn_3x_coco.py CHECKPOINT street.jpg --plain configs/solo/solo_r50_fpn_3x_coco.py '
        'CHECKPOINT2',
    )
    add_model(parser, 'config file; its head is a GridMaskHead')
    parser.add_argument('image', type=Path, metavar='IMAGE', help='image file')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='the picture, .png or .jpg (IMAGE_representations.png or IMAGE_levelN.png in the current folder)',
    )
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='S', help='leave out less certain instances (%(default)s)'
    )
    parser.add_argument(
        '--instances', type=positive, default=4, metavar='N', help='show the N most certain instances (%(default)s)'
    )
    parser.add_argument(
        '--plain',
        nargs=2,
        metavar=('CONFIG2', 'CHECKPOINT2'),
        help='show also what this model, without aggregator, predicts at the same place and around it',
    )
    parser.add_argument(
        '--sheet', type=int, metavar='LEVEL', help='show the masks of all cells of this level (0, 1, ...) instead'
    )
    add_model_options(parser, 'change CONFIG')
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the picture."""
    from mmagg.inside.show_representations import show_representations

    print(f'written to {show_representations(**vars(args))}')
