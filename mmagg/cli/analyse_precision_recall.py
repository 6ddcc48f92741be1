"""Precision-recall curves of a result file, as ``tools/analysis/precision_recall.py`` makes them."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from mmagg.cli.arguments import add_result_files
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.average_precision import RECALLS, mean_over_classes
from mmagg.evaluation.heading import heading
from mmagg.evaluation.matching import THRESHOLDS, evaluate, overlaps
from mmagg.evaluation.precision_recall import BestF1, Curves, best_f1
from mmagg.evaluation.precision_recall import precision_recall as curves_of
from mmagg.evaluation.precision_recall_chart import plot_precision_recall
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json, written_whole
from mmagg.io.tables import percent, plain, write_table

ALL = 'all classes'
FILES = 'precision_recall.csv', 'precision_recall.json', 'precision_recall.png'


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/precision_recall.py``."""
    parser = argparse.ArgumentParser(
        description="How precise is the model at which recall? The curves whose areas are COCO's AP at the IoU "
        'thresholds 0.5, 0.55, … 0.95, and the score threshold that gives the best F1 (the harmonic mean of precision '
        'and recall): what to set as score_thr to work with the results.',
        epilog='example: python tools/analysis/precision_recall.py instances_val2017.json results.segm.json '
        '--class person car --out curves',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--class', nargs='+', default=[], dest='classes', metavar='NAME', help='draw these, not the mean of all classes'
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder for precision_recall.csv (class, threshold, AP, best F1, precision at each recall), '
        'precision_recall.json (the same over all classes) and precision_recall.png',
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Make the curves that the arguments of `parser` ask for."""
    check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    for name in args.classes:
        if name not in truth.classes:
            closest = ', '.join(get_close_matches(name, truth.classes, cutoff=0))
            raise InputError(f'--class {name}: not in {args.annotations}; the most similar are {closest}')
    detections = read_detections(args.results, truth)
    outcome = evaluate(detections, truth.objects, overlaps(detections, truth.objects))
    classes = len(truth.classes)
    curves = curves_of(outcome, detections, truth.objects, classes=classes)
    best = best_f1(outcome, detections, truth.objects, classes=classes)
    mean = mean_over_classes(curves.precision.swapaxes(1, 2))
    report = {
        **heading(args, truth, detections),
        'iou_thresholds': THRESHOLDS.round(2).tolist(),
        'recalls': RECALLS.round(2).tolist(),
        'ap': plain(mean.mean(axis=1)),
        'precision': plain(mean),
        'best_f1': {name: plain(values[:, -1]) for name, values in best._asdict().items()},
    }
    write_json(report, args.out / FILES[1])
    columns = ['class', 'iou_thr', 'ap', *(f'best_f1_{name}' for name in BestF1._fields)]
    columns += [f'precision_at_{recall:.2f}' for recall in RECALLS]
    write_table(columns, _rows(truth.classes, curves, mean, best), args.out / FILES[0])
    panels = {name: curves.precision[:, truth.classes.index(name)] for name in args.classes} or {ALL: mean}
    with written_whole(args.out / FILES[2]) as path:
        plot_precision_recall(panels, THRESHOLDS, path)
    _print(report, best, {name: truth.classes.index(name) for name in args.classes})
    print(f'{args.out}: {", ".join(FILES)}')


def _rows(classes: Sequence[str], curves: Curves, mean: np.ndarray, best: BestF1) -> Iterator[list]:
    """All classes (''), then each that has objects; fractions."""
    precision = np.concatenate([mean[:, None], curves.precision], axis=1)
    f1 = np.roll(np.stack(best), 1, axis=-1)  # what is of all classes comes first here
    for label, name in enumerate(['', *classes]):
        for place, threshold in enumerate(THRESHOLDS):
            values = precision[place, label]
            if not np.isnan(values).any():
                numbers = [values.mean(), *f1[:, place, label], *values]
                yield [name, f'{threshold:.2f}', *plain(np.array(numbers).round(6))]


def _print(report: dict, best: BestF1, chosen: Mapping[str, int]) -> None:
    """AP and best F1 of all classes at each threshold, then the best F1 of the chosen classes at the lowest."""
    thresholds = report['iou_thresholds']
    lines = [
        f'{report["images"]} images, {report["objects"]} objects, {report["detections"]} detections',
        f'{"IoU":>6}{"AP":>8}{"best F1":>9}   with score, precision, recall',
    ]
    for place, (threshold, ap) in enumerate(zip(thresholds, report['ap'], strict=True)):
        lines.append(f'{threshold:6.2f}{percent(ap):>8}{_best(best, place, -1)}')
    lines += [f'{thresholds[0]:6.2f}{"":8}{_best(best, 0, label)}   {name}' for name, label in chosen.items()]
    print('\n'.join(lines))


def _best(best: BestF1, threshold: int, label: int) -> str:
    score, f1, precision, recall = (values[threshold, label] for values in best)
    return f'{percent(f1):>9}' + (f'   {score:.3f}, {percent(precision)}, {percent(recall)}' if f1 > 0 else '')
