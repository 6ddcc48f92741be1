"""The calibration of a result file, as ``tools/analysis/calibration.py`` measures it."""

import argparse
from pathlib import Path

import numpy as np

from mmagg.cli.arguments import add_result_files, fraction, positive
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.calibration import calibration as calibration_of
from mmagg.evaluation.calibration_chart import plot_calibration
from mmagg.evaluation.heading import heading
from mmagg.evaluation.matching import evaluate, overlaps
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json, written_whole
from mmagg.io.tables import percent, plain, write_table

FILES = 'calibration.csv', 'calibration.json', 'calibration.png'
COLUMNS = 'low', 'high', 'detections', 'score', 'precision', 'iou'
MOST_BINS = 50  # that can be drawn


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/calibration.py``."""
    parser = argparse.ArgumentParser(
        description='Are scores probabilities of being right? For each range of scores the share of detections that '
        'are right at --iou-thr, and the mean IoU of those with their objects; over all, the expected calibration '
        'error (ECE): how far the two are apart on average, and the same against share × mean IoU, for scores that '
        'promise a good mask. Detections in crowd regions are not counted.',
        epilog='example: python tools/analysis/calibration.py instances_val2017.json results.segm.json '
        '--out calibration',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--iou-thr', type=fraction, default=0.5, metavar='T', help='IoU of a right detection (%(default)s)'
    )
    parser.add_argument('--bins', type=positive, default=10, metavar='B', help='of equal width (%(default)s)')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help=f'folder for {", ".join(FILES)}')
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure as the arguments of `parser` say."""
    if args.iou_thr == 0:
        raise InputError('--iou-thr 0: must be more than 0')
    check_folder(args.out)
    if args.bins > MOST_BINS:
        raise InputError(f'--bins {args.bins}: at most {MOST_BINS} can be drawn')
    truth = read_truth(args.annotations, args.iou_type)
    detections = read_detections(args.results, truth)
    pairs = overlaps(detections, truth.objects)
    outcome = evaluate(detections, truth.objects, pairs, thresholds=np.array([args.iou_thr]))
    try:
        result = calibration_of(outcome, detections, pairs, bins=args.bins)
    except ValueError as error:
        raise InputError(f'{args.results}: {error}; they cannot be probabilities') from error
    bins = [
        result.edges[:-1].tolist(),
        result.edges[1:].tolist(),
        result.counts.tolist(),
        *(plain(values) for values in (result.scores, result.precision, result.ious)),
    ]
    rows = list(zip(*bins, strict=True))
    report = {
        **heading(args, truth, detections),
        'iou_thr': args.iou_thr,
        'error': plain(np.array(result.error)),
        'localisation_error': plain(np.array(result.localisation_error)),
        'bins': [dict(zip(COLUMNS, row, strict=True)) for row in rows],
    }
    write_json(report, args.out / FILES[1])
    write_table(COLUMNS, rows, args.out / FILES[0])
    with written_whole(args.out / FILES[2]) as path:
        plot_calibration(result, f'right at IoU {args.iou_thr:g}', path)
    _print(report)
    print(f'{args.out}: {", ".join(FILES)}')


def _print(report: dict) -> None:
    lines = [
        f'{"score":>12}{"count":>9}{"mean":>7}{"right":>7}{"IoU":>7}   at IoU {report["iou_thr"]:g}',
        *(
            f'{row["low"]:6.2f}–{row["high"]:4.2f} {row["detections"]:9}'
            + ''.join(f'{percent(row[key]):>7}' for key in COLUMNS[3:])
            for row in report['bins']
        ),
        f'expected calibration error {percent(report["error"])}, against share × mean IoU '
        f'{percent(report["localisation_error"])}',
    ]
    print('\n'.join(lines))
