"""Find the instances in images: pictures and one JSON file."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, add_device, add_trust_flag

EXIT_SOME_UNREADABLE = 1


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/demo.py``."""
    parser = argparse.ArgumentParser(
        description='Find the instances in images: a picture of each and one predictions.json (COCO format).'
    )
    parser.add_argument(
        'images', type=Path, metavar='IMAGE|DIR', help='an image, or a folder that is searched for images'
    )
    parser.add_argument('config', help='config file, or mmdet::<path> for one of mmdet')
    parser.add_argument('checkpoint', help='.pth file')
    parser.add_argument('--out-dir', type=Path, required=True, metavar='DIR', help='where the results go')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, metavar='S', help='leave out less certain instances (%(default)s)'
    )
    add_device(parser)
    add_cfg_options(parser, 'change the config')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run as the arguments of `parser` say; returns 1 if an image could not be read, the others are done."""
    from mmagg.apis.prediction import predict_folder

    found = predict_folder(**vars(args))
    print(f'{len(found.coco["annotations"])} instances in {len(found.coco["images"])} images: {args.out_dir}')
    return EXIT_SOME_UNREADABLE if found.unreadable else 0
