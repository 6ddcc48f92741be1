"""Show the bases and the attention that BlendMask's masks are made of."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_model_options, fraction, positive


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/show_bases.py``."""
    parser = argparse.ArgumentParser(
        description='Show what the masks of BlendMask are made of (Fig. 1 and 3 of its paper): the image with its '
        'detections and the bases that they share, then a row per detection: its attention maps and the pooled bases '
        'in its box, the mask that the two are blended to, and the mask on the image.',
        epilog='example: python tools/analysis/show_bases.py street.jpg '
        'configs/blendmask/blendmask_r50_fpn_3x_coco.py CHECKPOINT --out bases.png',
    )
    parser.add_argument('image', type=Path, metavar='IMAGE', help='image file')
    parser.add_argument('config', help='config file; its head is a BoxedMaskHead with BlendedMasks')
    parser.add_argument('checkpoint', nargs='?', help='.pth file; without one, weights are random')
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='the picture, .png or .jpg (IMAGE_bases.png in the current folder)'
    )
    parser.add_argument(
        '--top', type=positive, default=4, metavar='N', help='a row for the N most certain detections (%(default)s)'
    )
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='T', help='leave out less certain detections (%(default)s)'
    )
    add_model_options(parser, 'change CONFIG')
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the picture."""
    from mmagg.inside.show_bases import show_bases

    print(f'written to {show_bases(**vars(args))}')
