"""Check a data set, as each training does first."""

import argparse
from functools import partial
from pathlib import Path

from mmagg.cli.next_command import sibling


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/check.py``."""
    parser = argparse.ArgumentParser(
        description='Look at each image and annotation of a folder in COCO format, as a training does first: what '
        'would break it is listed, with exit code 2, and what is odd.',
        epilog='example: python tools/analysis/check.py mine',
    )
    parser.add_argument(
        'folder',
        type=Path,
        metavar='DIR',
        help='folder in COCO format: annotations/instances_{train,val}.json, images/{train,val}/',
    )
    parser.add_argument(
        '--config',
        default='mmagg::own/blendmask_lite0_fpn_320.py',
        help='the one to be trained, by whose needs and sizes the data are judged (%(default)s)',
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Check as the arguments say."""
    from mmagg.apis.config import load_config
    from mmagg.apis.data import check_data, use_coco_folder
    from mmagg.io.errors import InputError

    if not args.folder.is_dir():
        raise InputError(f'{args.folder}: no such folder')
    cfg = load_config(args.config, changes=[partial(use_coco_folder, folder=args.folder)])
    check_data(cfg, ('train', 'val'), purpose='train')
    print(f'{args.folder}: nothing in it keeps a training from running')
    print(f'next: {sibling("train", args.config, "--coco", args.folder)}')
