"""Where AP is lost, as ``tools/analysis/error_analysis.py`` shows it."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, fraction
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.error_chart import plot_errors
from mmagg.evaluation.errors import analyse_errors
from mmagg.evaluation.heading import heading
from mmagg.io.errors import InputError
from mmagg.io.files import check_folder, write_json, written_whole
from mmagg.io.tables import percent, write_table


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/error_analysis.py``."""
    parser = argparse.ArgumentParser(
        description="Where is AP lost? First SOLO's Table 7: AP as predicted, and with each mask replaced by that of "
        'the object of its class that it overlaps most. Then kinds of errors in the manner of TIDE: how many, and the '
        'AP at --iou-thr that mending each kind alone would gain.',
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
    """Analyse as the arguments of `parser` say."""
    if args.iou_thr <= 0.1:
        raise InputError(f'--iou-thr {args.iou_thr}: must be more than 0.1, below which a detection is background')
    if args.out:
        check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    detections = read_detections(args.results, truth)
    report = {
        **heading(args, truth, detections),
        **analyse_errors(
            detections, truth.objects, images=len(truth.image_ids), classes=len(truth.classes), iou_thr=args.iou_thr
        ),
    }
    _print(report)
    if args.out:
        write_json(report, args.out / 'error_analysis.json')
        write_table(('part', 'name', 'count', 'value'), _rows(report), args.out / 'error_analysis.csv')
        with written_whole(args.out / 'error_analysis.png') as path:
            plot_errors(report, path)
        print(f'{args.out}: error_analysis.json, error_analysis.csv, error_analysis.png')


def _rows(report: dict) -> list[tuple]:
    """Part, name, count and AP or gain, as fractions."""
    tables = [
        (part, name, '', value) for part in ('as_predicted', 'true_outlines') for name, value in report[part].items()
    ]
    return tables + [('errors', kind, error['count'], error['gain']) for kind, error in report['errors'].items()]


def _print(report: dict) -> None:
    lines = [
        f'{report["images"]} images, {report["objects"]} objects, {report["detections"]} detections',
        f'{"":16}' + ''.join(f'{name:>8}' for name in report['as_predicted']),
        *(
            f'{part.replace("_", " "):16}' + ''.join(f'{percent(value):>8}' for value in report[part].values())
            for part in ('as_predicted', 'true_outlines')
        ),
        f'{"errors":16}{"count":>8}{"gain":>8}   of AP at IoU {report["iou_thr"]:g}, now {percent(report["ap"])}',
        *(f'{kind:16}{error["count"]:8}{percent(error["gain"]):>8}' for kind, error in report['errors'].items()),
    ]
    print('\n'.join(lines))
