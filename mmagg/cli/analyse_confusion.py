"""Count which classes are taken for which."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, read_result_files


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/confusion.py``."""
    parser = argparse.ArgumentParser(
        description='Which classes are taken for which? Each detection lies on at most one object, by the IoU of their '
        'masks. A row is a class of objects, the last one background; a column a class of detections, the last one '
        'objects that were missed.',
        epilog='example: python tools/analysis/confusion.py instances_val2017.json results.segm.json --out confusion',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--score-thr', type=fraction, default=0.3, metavar='T', help='leave out less certain ones (%(default)s)'
    )
    parser.add_argument('--iou-thr', type=fraction, default=0.5, metavar='T', help='IoU with an object (%(default)s)')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder for confusion.csv (counts) and confusion.png'
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Count as the arguments say."""
    from mmagg.evaluation.confusion import confusion
    from mmagg.evaluation.matching import check_iou_thr

    check_iou_thr(args.iou_thr)
    truth, detections = read_result_files(args, 'results')
    result = confusion(truth, detections, score_thr=args.score_thr, iou_thr=args.iou_thr)
    result.write(args.out)
    print(result)
    print(f'{args.out}: confusion.csv, confusion.png')
