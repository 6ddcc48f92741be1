"""Evaluate a model; write its predictions, pictures and a report."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import (
    MODEL,
    Intermixed,
    add_coco,
    add_run_arguments,
    add_runtime,
    add_skip_check,
    add_weights,
    fraction,
)


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/test.py``."""
    parser = Intermixed(
        description='Evaluate a model; the metrics are printed and written to metrics.json in the work dir.'
    )
    parser.add_argument('config', help=f'{MODEL} and with --coco')
    parser.add_argument('checkpoint', nargs='?', help='.pth file')
    add_weights(parser, 'instead of a checkpoint:')
    add_coco(parser, 'test')
    parser.add_argument('--work-dir', type=Path, metavar='DIR', help='default: work_dirs/<config name>')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write predictions: COCO results (.json; '
        'masks and boxes apart in .segm.json and .bbox.json, for pycocotools) or mmdet samples (.pkl)',
    )
    parser.add_argument('--show-dir', type=Path, metavar='DIR', help='write each image with its predictions here')
    parser.add_argument(
        '--report',
        type=Path,
        metavar='DIR',
        help='write report.html here, one page with scores, curves, errors, images and latency, and results.json',
    )
    parser.add_argument(
        '--show-score-thr',
        type=fraction,
        default=0.3,
        metavar='S',
        help='draw predictions from this score on, also in the report (%(default)s)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation by the config's tta_model and tta_pipeline; without them the image and its "
        'mirror image at 1, 0.8, 1.2 times the size that the config tests at',
    )
    parser.add_argument(
        '--tile',
        type=int,
        metavar='N',
        help='predict each image by overlapping tiles of N pixels a side, merged by masks',
    )
    parser.add_argument(
        '--overlap', type=fraction, metavar='X', help='share of a tile that its neighbour sees, too (0.2)'
    )
    parser.add_argument(
        '--full-image',
        action='store_true',
        help='with --tile: predict each image as a whole as well, for what is larger than a tile',
    )
    add_skip_check(parser)
    add_run_arguments(parser)
    add_runtime(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Test as the arguments say."""
    from mmagg.apis.config import load_config, set_work_dir
    from mmagg.apis.exported_options import is_exported
    from mmagg.apis.launch import is_main
    from mmagg.apis.testing import test
    from mmagg.io.tables import score

    if is_exported(args.config):
        work_dir = args.work_dir or Path('work_dirs') / Path(args.config).stem
    else:
        work_dir = set_work_dir(load_config(args.config, args.cfg_options), args.config, args.work_dir)

    def show(metrics: dict) -> None:
        width = max((len(name) for name in metrics), default=0)
        for name, value in metrics.items():
            print(f'{name:<{width}}  {score(value) if isinstance(value, float) else value}')
        if not metrics:
            print('no metrics: the model found nothing in any image')
        print(f'written to {work_dir / "metrics.json"}', flush=True)

    test(**{**vars(args), 'work_dir': work_dir}, on_metrics=show)
    if args.report is not None and is_main(args.launcher):
        print(f'report: {args.report / "report.html"}')
