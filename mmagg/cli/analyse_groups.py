"""Measure AP by the size of objects and by how much others cover them."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, read_result_files

FILES = 'ap_by_group.csv', 'ap_by_group.json', 'ap_by_group.png'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/ap_by_group.py``."""
    parser = argparse.ArgumentParser(
        description='Which objects does a model find, and how well? AP, AP50, AP75, AR and the number of objects by '
        'size (small, medium and large, as COCO has them) and by coverage, which tells crowded scenes from lone '
        "objects: the share of an object's bounding box that the masks of all other annotated objects cover, of "
        'whatever class, crowd regions too (with --iou-type bbox: their boxes). As with sizes, objects of other groups '
        'are ignored, and a detection that is matched to nothing counts in the group of its own coverage: the share of '
        'its box that annotated objects cover but for the one that it overlaps most.',
        epilog='example: python tools/analysis/ap_by_group.py instances_val2017.json results.segm.json --out groups',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--edges',
        type=fraction,
        nargs='+',
        default=[0.0, 0.1, 0.3],
        metavar='E',
        help='upper ends of the groups by coverage, each in its group; the last one has the rest (0 0.1 0.3)',
    )
    parser.add_argument('--out', type=Path, metavar='DIR', help=f'write {", ".join(FILES)}')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments say."""
    from mmagg.evaluation.groups import ap_by_group, check_edges

    check_edges(args.edges)
    truth, detections = read_result_files(args, 'results')
    result = ap_by_group(truth, detections, edges=args.edges)
    print(result)
    if args.out:
        result.write(args.out)
        print(f'{args.out}: {", ".join(FILES)}')
