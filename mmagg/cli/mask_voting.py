"""The grid search for the best mask voting, as ``tools/analysis/mask_voting.py`` offers it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from faster_coco_eval import COCO
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.coco_loader import check_classes, images_to_test
from mmagg.apis.config import load_config, set_work_dir
from mmagg.apis.data import use_coco_folder
from mmagg.apis.inference import load_model
from mmagg.cli.arguments import add_cfg_options, add_coco, add_device, add_trust_flag, positive
from mmagg.experiments.voting_search import VotingSearch, mask_ap
from mmagg.io.errors import InputError
from mmagg.io.files import write_json, written_whole
from mmagg.io.tables import write_records
from mmagg.models.postprocess import MaskPostProcessor
from mmagg.ops.mask_voting import WEIGHTS

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
METRICS = ('AP', 'AP50', 'AP75')
NAMES = {'avg': '+avg. v.', 'score': '+score v.', 'iou': '+IoU v.'}  # as in the paper's Table 1
SIZE, DPI = (6, 4), 110  # inches, dots per inch

Row = dict[str, str | float | None]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/analysis/mask_voting.py``."""
    parser = argparse.ArgumentParser(
        description="AggMask's pilot experiment (Table 1): mask AP of a trained model without voting, and with each "
        'weight (avg, score, iou) at each IoU threshold. The network runs once per image. Prints the best threshold '
        'of each weight and the whole grid; writes results.json, results.csv (AP in [0, 1]) and curves.png.',
        epilog='example: python tools/analysis/mask_voting.py configs/solo/solo_r50_fpn_3x_coco.py CHECKPOINT '
        '--thresholds 0.6 0.7 0.8 --max-images 500',
    )
    parser.add_argument('config', help='config file; its head ends in a MaskPostProcessor')
    parser.add_argument('checkpoint', help='.pth file')
    add_coco(parser, 'test')
    parser.add_argument(
        '--thresholds',
        type=_fraction,
        nargs='+',
        default=THRESHOLDS,
        metavar='T',
        help=f'a candidate votes if its IoU with the mask is at least this ({" ".join(map(str, THRESHOLDS))})',
    )
    parser.add_argument('--max-images', type=positive, metavar='N', help='only the first N images (all)')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='where the results go, default: mask_voting in the work dir'
    )
    add_device(parser)
    add_cfg_options(parser, 'change the config, e.g. test_dataloader.num_workers=4')
    add_trust_flag(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Search as the arguments of `parser` say."""
    secure_loading(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    if args.coco:
        use_coco_folder(cfg, args.coco)
    out = args.out or set_work_dir(cfg, args.config, None) / 'mask_voting'
    if out.exists() and not out.is_dir():
        raise InputError(f'--out {out}: is a file, name a folder')
    loader = images_to_test(cfg, args.config, args.max_images)
    dataset = loader.dataset
    truth = COCO(dataset.ann_file)
    if not any(truth.imgToAnns.get(dataset.get_data_info(i)['img_id']) for i in range(len(dataset))):
        raise InputError(f'{dataset.ann_file}: none of its {len(dataset)} images has an annotation, so there is no AP')
    model = load_model(cfg, args.checkpoint, args.device)
    search = _install(model, args.config, sorted(set(args.thresholds)))
    check_classes(model, dataset)

    image_ids = _predict(model, loader)
    rows = []
    for variant in tqdm(search.variants, desc='evaluation', unit='variant'):
        found = search.records(variant, image_ids, dataset.cat_ids)
        rows.append(variant._asdict() | mask_ap(truth, found, image_ids, dataset.cat_ids))
    report = {
        'config': args.config,
        'checkpoint': args.checkpoint,
        'images': len(image_ids),
        'instances': sum(len(image.scores) for image in search.images),
        'best': {weight: _best(rows, weight) for weight in WEIGHTS},
        'grid': rows,
    }
    print(table(report))
    _write(report, out)
    print(f'written to {out}')


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{value} is not in [0, 1]')
    return value


def _install(model: nn.Module, config: str, thresholds: Sequence[float]) -> VotingSearch:
    """Let the model's head end in a search instead of its own post-processor."""
    heads = [x for x in model.modules() if isinstance(getattr(x, 'post_process', None), MaskPostProcessor)]
    if len(heads) != 1:
        raise InputError(
            f'config {config}: {len(heads) or "no"} heads of its {type(model).__name__} end in a MaskPostProcessor; '
            'mask voting needs one, such as GridMaskHead'
        )
    heads[0].post_process.mask_format = 'rle'
    heads[0].post_process = VotingSearch(heads[0].post_process, thresholds)
    return heads[0].post_process


@torch.no_grad()
def _predict(model: nn.Module, loader: DataLoader) -> list[int]:
    """Let the model see every image once; returns the images' ids."""
    image_ids = []
    with tqdm(total=len(loader.dataset), desc='prediction', unit='image') as bar:
        for batch in loader:
            samples = model.test_step(batch)
            image_ids += [sample.img_id for sample in samples]
            bar.update(len(samples))
    return image_ids


def _best(rows: Sequence[Row], weight: str) -> Row:
    """The row of a weight with the highest AP, the lowest threshold among equals."""
    return max((row for row in rows if row['weight'] == weight), key=lambda row: row['AP'] or 0)


# Printing and writing


def table(report: dict) -> str:
    """The report as text: the paper's Table 1, then the AP of every weight and threshold, in per cent."""
    baseline = report['grid'][0]
    best = [report['best'][weight] for weight in WEIGHTS]
    lines = [f'{report["images"]} images, {report["instances"]} instances']
    if not report['instances']:
        lines += ['the model found nothing in any image: no score is above test_cfg.score_thr']
    lines += ['', _line('mask', ['baseline', *NAMES.values()])]
    lines += [_line(metric, [_percent(row[metric]) for row in (baseline, *best)]) for metric in METRICS]
    gains = ['–' if row['AP'] is None else f'{100 * (row["AP"] - baseline["AP"]):+.2f}' for row in best]
    lines += [_line('gain in AP', ['', *gains]), _line('IoU threshold', ['', *(f'{row["iou_thr"]:g}' for row in best)])]
    lines += ['', _line('AP at threshold', ['', *NAMES.values()])]
    cells = {(row['weight'], row['iou_thr']): row['AP'] for row in report['grid']}
    for iou_thr in sorted({row['iou_thr'] for row in report['grid'][1:]}):
        lines += [_line(f'{iou_thr:g}', ['', *(_percent(cells[weight, iou_thr]) for weight in WEIGHTS)])]
    return '\n'.join(lines)


def _line(name: str, cells: Sequence[str]) -> str:
    return f'{name:<16}' + ''.join(f'{cell:>11}' for cell in cells)


def _percent(value: float | None) -> str:
    return '–' if value is None else f'{100 * value:.2f}'


def _write(report: dict, folder: Path) -> None:
    write_json(report, folder / 'results.json')
    with written_whole(folder / 'results.csv') as temporary:
        write_records(report['grid'], temporary)
    with written_whole(folder / 'curves.png') as temporary:
        plot(report['grid'], temporary)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw AP over the threshold, a curve per weight; the baseline is dashed.

    Args:
        rows: the grid, the baseline first.
        path: the picture; its suffix chooses the format.
    """
    figure = Figure(figsize=SIZE, layout='constrained')
    axes = figure.subplots()
    for weight in WEIGHTS:
        own = [row for row in rows if row['weight'] == weight and row['AP'] is not None]
        axes.plot([row['iou_thr'] for row in own], [100 * row['AP'] for row in own], marker='o', label=NAMES[weight])
    if rows[0]['AP'] is not None:
        axes.axhline(100 * rows[0]['AP'], color='grey', linestyle='--', label='baseline')
    axes.legend(frameon=False)
    axes.set(title='mask voting', xlabel='IoU threshold', ylabel='mask AP (%)')
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=DPI)
