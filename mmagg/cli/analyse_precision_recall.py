"""Draw precision over recall, and find the score thresholds with the best F1."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_result_files, read_results

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
    from mmagg.datasets.coco_reader import read_truth
    from mmagg.evaluation.precision_recall import check_classes, precision_recall
    from mmagg.io.files import check_folder
    from mmagg.io.paths import keep_apart

    keep_apart({'--out': args.out}, [args.annotations, args.results])
    check_folder(args.out)
    truth = read_truth(args.annotations, args.iou_type)
    check_classes(truth, args.classes)
    (detections,) = read_results(args, truth, 'results')
    result = precision_recall(truth, detections, shown=args.classes)
    result.write(args.out)
    print(result)
    print(f'{args.out}: {", ".join(FILES)}')
