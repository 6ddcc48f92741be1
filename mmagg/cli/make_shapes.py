"""Generated scenes, as ``tools/dataset_converters/make_shapes.py`` offers them."""

import argparse
from pathlib import Path

from mmagg.demo.shapes import CLASSES, write_shapes
from mmagg.io.errors import InputError


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/dataset_converters/make_shapes.py``."""
    parser = argparse.ArgumentParser(
        description='Make a data set of overlapping, textured shapes in COCO format. '
        f'Classes: {", ".join(CLASSES)}. The same arguments give the same bytes.',
        epilog='Writes OUT/annotations/instances_{train,val}.json and OUT/images/{train,val}/*.png, as '
        '`tools/train.py CONFIG --coco OUT` reads them.',
    )
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to make')
    parser.add_argument('--images', type=int, default=600, help='training images (default: %(default)s)')
    parser.add_argument('--val-images', type=int, default=100, help='validation images (default: %(default)s)')
    parser.add_argument('--size', type=int, default=192, help='image side in pixels (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='another seed, other scenes (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace a data set that is already in OUT')
    return parser


def run(args: argparse.Namespace) -> None:
    """Make the data set that the arguments of `parser` describe."""
    try:
        write_shapes(
            args.out,
            images=args.images,
            val_images=args.val_images,
            size=args.size,
            seed=args.seed,
            overwrite=args.overwrite,
        )
    except (ValueError, FileExistsError) as error:
        raise InputError(str(error)) from error
    print(f'{args.images} + {args.val_images} images in {args.out}')
