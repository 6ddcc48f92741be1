"""The confusion matrix of a result file, as ``tools/analysis/confusion.py`` makes it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmagg.cli.arguments import add_result_files, fraction
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.confusion import confusion_matrix
from mmagg.evaluation.confusion_chart import plot_confusion
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, written_whole
from mmagg.io.tables import write_table

CONFUSIONS_PRINTED = 10


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
    """Count as the arguments of `parser` say."""
    if args.iou_thr == 0:
        raise InputError('--iou-thr 0: must be more than 0')
    check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    detections = read_detections(args.results, truth)
    matrix = confusion_matrix(
        detections, truth.objects, classes=len(truth.classes), score_thr=args.score_thr, iou_thr=args.iou_thr
    )
    rows = ([name, *row] for name, row in zip([*truth.classes, 'background'], matrix.tolist(), strict=True))
    write_table(['is / detected as', *truth.classes, 'missed'], rows, args.out / 'confusion.csv')
    with written_whole(args.out / 'confusion.png') as path:
        plot_confusion(matrix, truth.classes, path)
    print(_summary(matrix, truth.classes))
    print(f'{args.out}: confusion.csv, confusion.png')


def _summary(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """Totals and the most frequent confusions."""
    pairs = matrix[:-1, :-1] * ~np.eye(len(classes), dtype=bool)
    right, missed, background = np.trace(matrix[:-1, :-1]), matrix[:-1, -1].sum(), matrix[-1, :-1].sum()
    lines = [f'right {right}, wrong class {pairs.sum()}, missed {missed}, on background {background}']
    for place in np.argsort(-pairs, axis=None, kind='stable')[:CONFUSIONS_PRINTED]:
        row, column = np.unravel_index(place, pairs.shape)
        if pairs[row, column]:
            lines.append(f'  {classes[row]} detected as {classes[column]}: {pairs[row, column]}')
    return '\n'.join(lines)
