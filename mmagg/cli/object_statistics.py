"""Count which objects centres and sizes tell apart."""

import argparse
from pathlib import Path

from mmagg.cli.measuring import add_json


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/object_statistics.py``."""
    parser = argparse.ArgumentParser(
        description='Can centres and sizes tell the objects of an image apart, as SOLO supposes (Sec. 1)? The share of '
        'pairs of objects of an image whose centres are distant, of the other pairs the share whose sizes differ, and '
        'how many grid cells learn an object (Sec. 2.3). Crowds are left out. data_stats.py says which config suits.',
        epilog='example: python tools/analysis/object_statistics.py instances_val2017.json',
    )
    parser.add_argument('annotations', type=Path, metavar='ANN', help='annotations in COCO format, JSON')
    parser.add_argument(
        '--config',
        help="config of SOLO's family, whose cells and size of test images count (solo_r50_fpn_3x_coco.py)",
    )
    parser.add_argument(
        '--centre',
        choices=('mass', 'box'),
        default='mass',
        help="the centre of a pair's objects: of their mass or of their box (%(default)s)",
    )
    parser.add_argument(
        '--distance', type=float, default=30, metavar='D', help='of centres, in pixels of the image (%(default)s)'
    )
    parser.add_argument('--ratio', type=float, default=1.5, metavar='R', help='of sizes, sqrt(w * h) (%(default)s)')
    add_json(parser, 'the numbers')
    return parser


def run(args: argparse.Namespace) -> None:
    """Count, print and write as the arguments say."""
    from mmagg.apis.config import base_files
    from mmagg.experiments.object_statistics import object_statistics
    from mmagg.io.files import check_file, require_file, write_json
    from mmagg.io.paths import keep_apart

    options = vars(args)
    file = options.pop('json')
    require_file(args.annotations, 'annotations')
    if file is not None:
        check_file(file, '--json')
        bases = [] if args.config is None else [args.config, *base_files(args.config)]
        keep_apart({'--json': file}, [args.annotations, *bases])
    result = object_statistics(**options)
    print(result)
    if file is not None:
        shares = 'apart_share', 'unequal_share', 'positives_per_object', 'cells_per_level'
        write_json(vars(result) | {name: getattr(result, name) for name in shares}, file)
        print(f'written to {file}')
