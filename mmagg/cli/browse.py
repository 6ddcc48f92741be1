"""Show what the data pipeline feeds to the network."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_cfg_options, add_coco, positive, seed
from mmagg.cli.demo import EXIT_SOME_SKIPPED


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/browse_dataset.py``."""
    parser = argparse.ArgumentParser(
        description='Draw what the data pipeline feeds to the network, after augmentation and before normalisation: '
        'masks, boxes and labels, and hatched what is ignored. Writes sheets, and each picture in its own size.',
        epilog='example: python tools/browse_dataset.py configs/solo/solo_r50_fpn_3x_coco.py --coco mine --repeat 3',
    )
    parser.add_argument('config', help='config file, or mmagg::<path> or mmdet::<path>')
    add_coco(parser, 'run the pipeline')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='default: %(default)s')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder for the pictures; default: work_dirs/browse/<config name>'
    )
    parser.add_argument('--number', type=positive, default=16, metavar='N', help='images, at random (%(default)s)')
    parser.add_argument(
        '--image', nargs='+', dest='images', metavar='NAME', help='these images instead, by file name or id'
    )
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument('--repeat', type=positive, metavar='K', help='a row for each image: its file, then K draws of it')
    rows.add_argument('--stages', action='store_true', help='a row for each image: what each transform makes of it')
    parser.add_argument('--seed', type=seed, default=0, metavar='N', help='of images and draws (%(default)s)')
    add_cfg_options(parser, 'change the config')
    return parser


def run(args: argparse.Namespace) -> int:
    """Draw the pictures; returns 1 if an image was skipped, the others are done."""
    from mmagg.inside.browse import browse

    drawn = browse(**vars(args))
    print(f'{drawn.sheets[0].parent}: {len(drawn.sheets)} sheet(s), and each picture in pictures/')
    return EXIT_SOME_SKIPPED if drawn.unreadable else 0
