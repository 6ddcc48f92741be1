"""Measure whether scores are probabilities of being right."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, positive, read_result_files
from mmagg.io.errors import InputError

FILES = 'calibration.csv', 'calibration.json', 'calibration.png'
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
    """Measure as the arguments say."""
    from mmagg.evaluation.calibration import calibration
    from mmagg.evaluation.matching import check_iou_thr

    check_iou_thr(args.iou_thr)
    if args.bins > MOST_BINS:
        raise InputError(f'--bins {args.bins}: at most {MOST_BINS} can be drawn')
    truth, detections = read_result_files(args, 'results')
    result = calibration(truth, detections, iou_thr=args.iou_thr, bins=args.bins)
    result.write(args.out)
    print(result)
    print(f'{args.out}: {", ".join(FILES)}')
