"""Make a folder for training and validation from data in the formats of tools."""

import argparse
from pathlib import Path

FORMATS = 'roboflow', 'coco-panoptic', 'coco', 'labelme', 'cvat', 'voc', 'yolo', 'masks'
TARGETS = 'coco', 'yolo', 'labelme', 'cvat', 'voc', 'coco-panoptic', 'masks'
SUGGESTED = 'configs/own/blendmask_lite0_fpn_320.py'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/dataset_converters/convert_data.py``."""
    parser = argparse.ArgumentParser(
        description='Make the folder that --coco reads of one or more data sets in the formats of annotation tools. '
        'Every class that is in two images or more is in both parts, with about its share of objects; the same '
        'arguments give the same folder. Parts that a source has are kept unless --split is given. An image that '
        'cannot be read is named and left out, and the exit code is then 1.',
        epilog='example: python tools/dataset_converters/convert_data.py export mine --split 0.8,0.2',
    )
    parser.add_argument('sources', type=Path, nargs='+', metavar='SRC', help='folder, as unpacked, or annotation file')
    parser.add_argument('out', type=Path, metavar='DST', help='folder to make')
    parser.add_argument(
        '--from',
        dest='from_format',
        choices=('auto', *FORMATS),
        default='auto',
        help='what the sources are (default: %(default)s, by a look at each)',
    )
    parser.add_argument(
        '--to', dest='to_format', choices=TARGETS, default='coco', help='what is written (default: %(default)s)'
    )
    parser.add_argument('--images', type=Path, metavar='DIR', help='folder of the images, if a source has none')
    parser.add_argument(
        '--split',
        type=_shares,
        metavar='TRAIN,VAL[,TEST]',
        help='shares of the images (default: as the source is split, else 0.8,0.2)',
    )
    parser.add_argument(
        '--group',
        metavar='REGEX',
        help='images whose names begin with the same match of it, or of its first bracket, stay in one part, as those '
        'of a burst; "prefix" is the name without the number at its end',
    )
    parser.add_argument('--seed', type=int, default=0, help='another seed, another split (default: %(default)s)')
    parser.add_argument(
        '--rename', type=_pair, action='append', default=[], metavar='OLD=NEW', help='a class; may be repeated'
    )
    parser.add_argument(
        '--drop', action='append', default=[], metavar='NAME', help='leave out the objects of a class; may be repeated'
    )
    parser.add_argument('--tile', type=int, metavar='PIXELS', help='cut images, and their masks, into tiles of a side')
    parser.add_argument(
        '--overlap', type=float, default=0.2, metavar='SHARE', help='of a tile with the next (default: %(default)s)'
    )
    parser.add_argument(
        '--min-piece',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='of an object; smaller pieces at the border of a tile are marked as crowds (default: %(default)s)',
    )
    parser.add_argument(
        '--link',
        action='store_true',
        help='symbolic links to the images instead of copies: they take no space, but the images must stay',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace what this command has written to DST')
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert as the arguments of `parser` say; 1 where something was left out that could not be read."""
    from mmagg.cli.next_command import sibling
    from mmagg.formats.convert_data import convert_data

    done = convert_data(**vars(args))
    print(done)
    if args.to_format == 'coco':
        print(f'train: {sibling("train", SUGGESTED, "--coco", args.out)}')
    return int(bool(done.skipped))


def _shares(text: str) -> list[float]:
    return [float(share) for share in text.split(',')]


def _pair(text: str) -> tuple[str, str]:
    old, sign, new = text.partition('=')
    if not (old and sign and new):
        raise argparse.ArgumentTypeError(f'{text!r} is not OLD=NEW')
    return old, new
