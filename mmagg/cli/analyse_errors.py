"""Show where AP is lost, by true outlines and by kinds of errors."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction, read_result_files


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/error_analysis.py``."""
    parser = argparse.ArgumentParser(
        description="Where is AP lost? First SOLO's Table 7: AP as predicted, and with each mask replaced by that of "
        'the object of its class that it overlaps most. Then kinds of errors in the manner of TIDE: how many, and the '
        'AP at --iou-thr that fixing each kind alone would gain.',
        epilog='example: python tools/analysis/error_analysis.py instances_val2017.json results.segm.json --out errors',
    )
    add_result_files(parser, 'results')
    parser.add_argument(
        '--iou-thr', type=fraction, default=0.5, metavar='T', help='IoU of a right detection (%(default)s)'
    )
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='write error_analysis.json, error_analysis.csv and error_analysis.png'
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Analyse as the arguments say."""
    from mmagg.evaluation.errors import check_background, error_analysis

    check_background(args.iou_thr)
    truth, detections = read_result_files(args, 'results')
    result = error_analysis(truth, detections, iou_thr=args.iou_thr)
    print(result)
    if args.out:
        result.write(args.out)
        print(f'{args.out}: error_analysis.json, error_analysis.csv, error_analysis.png')
