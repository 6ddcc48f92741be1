"""Search the best mask voting for a trained model."""

import argparse
from pathlib import Path

from mmagg.cli.arguments import add_coco, add_model, add_model_options, fraction, positive

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/mask_voting.py``."""
    parser = argparse.ArgumentParser(
        description="AggMask's pilot experiment (Table 1): mask AP of a trained model without voting, and with each "
        'weight (avg, score, iou) at each IoU threshold. The network runs once per image. Prints the best threshold '
        'of each weight and the whole grid; writes results.json, results.csv (AP in [0, 1]) and curves.png.',
        epilog='example: python tools/analysis/mask_voting.py configs/solo/solo_r50_fpn_3x_coco.py CHECKPOINT '
        '--thresholds 0.6 0.7 0.8 --max-images 500',
    )
    add_model(parser, 'config file; its head ends in a MaskPostProcessor')
    add_coco(parser, 'test')
    parser.add_argument(
        '--thresholds',
        type=fraction,
        nargs='+',
        default=THRESHOLDS,
        metavar='T',
        help=f'a candidate votes if its IoU with the mask is at least this ({" ".join(map(str, THRESHOLDS))})',
    )
    parser.add_argument('--max-images', type=positive, metavar='N', help='only the first N images (all)')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='where the results go, default: mask_voting in the work dir'
    )
    add_model_options(parser, 'change the config, e.g. test_dataloader.num_workers=4')
    return parser


def run(args: argparse.Namespace) -> None:
    """Search, print the table and write the files."""
    from mmagg.apis.config import base_files, load_config, set_work_dir
    from mmagg.apis.data import data_files
    from mmagg.experiments.mask_voting import mask_voting
    from mmagg.io.files import check_folder
    from mmagg.io.paths import keep_apart

    options = vars(args)
    cfg = load_config(args.config, args.cfg_options)
    out = options.pop('out') or set_work_dir(cfg, args.config, None) / 'mask_voting'
    keep_apart({'--out': out}, [args.config, *base_files(cfg), args.checkpoint, *data_files(cfg, args.coco)])
    check_folder(out)
    report = mask_voting(**options)
    print(report.table())
    report.write(out)
    print(f'written to {out}')
