"""Find the instances in images: pictures and one JSON file."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import CONFIG, Intermixed, add_model_options, add_weights, fraction

EXIT_SOME_SKIPPED = 1


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/demo.py``."""
    parser = Intermixed(
        description='Find the instances in images: a picture of each and one predictions.json (COCO format).'
    )
    parser.add_argument(
        'images', type=Path, metavar='IMAGE|DIR', help='an image, or a folder that is searched for images'
    )
    parser.add_argument('config', nargs='?', help=f'{CONFIG}; needless for a --weights NAME, which has its own')
    parser.add_argument('checkpoint', nargs='?', help='.pth file')
    add_weights(parser, 'instead of a checkpoint:')
    parser.add_argument('--out-dir', type=Path, required=True, metavar='DIR', help='where the results go')
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='S', help='leave out less certain instances (%(default)s)'
    )
    add_model_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run as the arguments of `parser` say; returns 1 if an image was skipped, the others are done."""
    from mmagg.apis.prediction import predict_folder

    found = predict_folder(**vars(args))
    print(f'{len(found.coco["annotations"])} instances in {len(found.coco["images"])} images: {args.out_dir}')
    if found.coco['images'] and not found.coco['annotations']:
        print(
            'the model finds nothing in them: has it been trained long enough?'
            if found.highest is None
            else f'the highest score is {found.highest:.3g}: a --score-thr below {args.score_thr:g} shows more'
        )
    if found.cap is not None and found.full:
        print(found.cap.reached(found.full, len(found.coco['images'])))
    return EXIT_SOME_SKIPPED if found.unreadable else 0
