"""Make a COCO-format data set of generated scenes."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import seed


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/dataset_converters/make_shapes.py``."""
    parser = argparse.ArgumentParser(
        description='Make a data set of overlapping, textured shapes in COCO format. '
        'Classes: circle, square, triangle, star, ring. The same arguments give the same bytes.',
        epilog='Writes OUT/annotations/instances_{train,val}.json and OUT/images/{train,val}/*.png, as '
        '`tools/train.py CONFIG --coco OUT` reads them.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to make')
    parser.add_argument('--images', type=int, default=600, help='training images (default: %(default)s)')
    parser.add_argument('--val-images', type=int, default=100, help='validation images (default: %(default)s)')
    parser.add_argument('--size', type=int, default=192, help='image side in pixels (default: %(default)s)')
    parser.add_argument('--seed', type=seed, default=0, help='another seed, other scenes (default: %(default)s)')
    parser.add_argument(
        '--objects', type=int, nargs=2, default=(2, 6), metavar=('MIN', 'MAX'), help='objects of an image (2 6)'
    )
    parser.add_argument(
        '--diameters',
        type=int,
        nargs=2,
        metavar=('MIN', 'MAX'),
        help='of objects, in pixels (default: 0.28 to 0.7 of the image side)',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a data set that is already in OUT')
    return parser


def run(args: argparse.Namespace) -> None:
    """Make the data set that the arguments of `parser` describe."""
    from mmagg.demo.shapes import write_shapes

    write_shapes(**vars(args))
    print(f'{args.images} + {args.val_images} images in {args.out}')
