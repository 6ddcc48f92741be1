"""Make a folder for training and validation from what an annotation tool exports."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import seed


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/dataset_converters/split_coco.py``."""
    parser = argparse.ArgumentParser(
        description='Make a folder for training and validation from what an annotation tool exports as COCO: CVAT, '
        'Label Studio, Roboflow and others. Every class that is in two images or more is in both parts, with about its '
        'share of objects; the same arguments give the same split. What Roboflow has split stays as it is.',
        epilog='example: python tools/dataset_converters/split_coco.py export mine',
    )
    parser.add_argument('export', type=Path, metavar='EXPORT', help='folder, as unpacked, or annotation file')
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to make')
    parser.add_argument('--images', type=Path, metavar='DIR', help='folder of the images, if the export has none')
    parser.add_argument(
        '--val', type=float, default=0.2, metavar='SHARE', help='of the images for validation (default: %(default)s)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='another seed, another split (default: %(default)s)')
    parser.add_argument(
        '--link',
        action='store_true',
        help='symbolic links to the images instead of copies: they take no space, but the images must stay where they '
        'are (no hard links: an image that is edited in one folder would change in the other)',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace what this command has written to OUT')
    return parser


def run(args: argparse.Namespace) -> int:
    """Split as the arguments of `parser` say; 1 where images without a file were left out."""
    from mmagg.datasets.split_coco import split_coco

    done = split_coco(**vars(args))
    print(done)
    return int(bool(done.missing))
