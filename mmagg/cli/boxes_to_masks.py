"""Predict masks in another detector's boxes, and measure both."""

import argparse
import math
from pathlib import Path

from mmagg.cli.arguments import add_coco, add_model, add_model_options, fraction, positive


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/boxes_to_masks.py``."""
    parser = argparse.ArgumentParser(
        description="Do better boxes give better masks? (MEInst's Table 1.) The mask branch of a trained model "
        "predicts masks in another detector's boxes; everything but the boxes stays the same. Prints the box AP of "
        'those and the mask AP of the result. In a two-stage detector (Mask R-CNN, Cascade Mask R-CNN, HTC) the boxes '
        "take the place of the RoI head's own; in BlendMask and MEInst a box takes the coefficients of the location "
        'that is responsible for it.',
        epilog='example: python tools/test.py FCOS_CONFIG FCOS_CHECKPOINT --out boxes.json && python '
        'tools/analysis/boxes_to_masks.py configs/a2fpn/mask-rcnn_r50_fpn_1x_coco.py CHECKPOINT boxes.json',
    )
    add_model(parser, "config file of the model with the mask branch, or mmdet::<path> for one of mmdet's")
    parser.add_argument(
        'boxes',
        type=Path,
        metavar='BOXES.json',
        help='COCO result file: a list of image_id, category_id, bbox (x, y, width, height in pixels of the original '
        'image) and score',
    )
    add_coco(parser, 'test')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='write the boxes with their masks as a COCO result file, NAME.json, and the AP to NAME.metrics.json',
    )
    parser.add_argument(
        '--beside',
        nargs='+',
        type=Path,
        default=[],
        metavar='FILE',
        help="NAME.metrics.json of runs with other detectors' boxes: also print a row for each (Table 1), and with "
        '--out draw mask AP over box AP, and the boxes per image, in NAME.png (Figure 4)',
    )
    parser.add_argument('--max-images', type=positive, metavar='N', help='only the first N images (all)')
    parser.add_argument(
        '--score-thr', type=fraction, default=-math.inf, metavar='T', help='leave out less certain boxes (none)'
    )
    parser.add_argument(
        '--max-per-image',
        type=positive,
        default=100,
        metavar='N',
        help='only the N most certain boxes of an image (%(default)s)',
    )
    add_model_options(parser, 'change the config, e.g. test_dataloader.num_workers=4')
    return parser


def run(args: argparse.Namespace) -> None:
    """Predict and measure, print the table and write the files."""
    from mmagg.apis.config import base_files, load_config
    from mmagg.apis.data import data_files
    from mmagg.evaluation.results import result_files
    from mmagg.experiments.boxes_compared import plot, read_summary, table
    from mmagg.experiments.boxes_to_masks import boxes_to_masks
    from mmagg.io.errors import InputError
    from mmagg.io.files import check_file
    from mmagg.io.paths import keep_apart

    options = vars(args)
    out, beside = options.pop('out'), options.pop('beside')
    summaries = [read_summary(path) for path in beside]
    if out:
        if out.suffix != '.json':
            raise InputError(f'--out {out}: name a .json file')
        cfg = load_config(args.config, args.cfg_options)
        outputs = {'--out': out, 'the metrics of --out': out.with_suffix('.metrics.json')}
        outputs |= {f'the {part} part of --out': file for part, file in result_files(out).items()}
        if beside:
            outputs['the chart of --out'] = out.with_suffix('.png')
        read = [args.boxes, *beside, args.config, *base_files(cfg), args.checkpoint]
        keep_apart(outputs, [*read, *data_files(cfg, args.coco)])
        for flag, file in outputs.items():
            check_file(file, flag)
    report = boxes_to_masks(**options)
    print(report.table())
    summaries += [report.summary]
    if beside:
        print(f'\n{table(summaries)}')
    if out:
        report.write(out)
        if beside:
            plot(summaries, out.with_suffix('.png'))
        print(f'written to {out}')
