"""The grid search for the best mask voting of a trained model (AggMask, Sec. 3.2, Table 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import torch
from matplotlib.figure import Figure
from mmdet.datasets import CocoDataset
from mmdet.models.detectors import BaseDetector
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import load_model
from mmagg.engine.first_step import running
from mmagg.evaluation.coco_scores import average_precisions, read_annotations
from mmagg.experiments.coco_loader import check_classes, images_to_test
from mmagg.experiments.voting_search import VotingSearch
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.tables import percent, write_records
from mmagg.models.postprocess import MaskPostProcessor
from mmagg.ops.mask_voting import WEIGHTS
from mmagg.visualization.chart import write_chart

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
METRICS: tuple[Literal['AP', 'AP50', 'AP75'], ...] = ('AP', 'AP50', 'AP75')
NAMES = {'avg': '+avg. v.', 'score': '+score v.', 'iou': '+IoU v.'}  # as in AggMask, Table 1
SIZE = 6, 4  # inches


class Row(TypedDict):
    """The AP of a weight at a threshold; both are None without voting."""

    weight: str | None
    iou_thr: float | None
    AP: float | None
    AP50: float | None
    AP75: float | None


@dataclass(frozen=True)
class VotingReport:
    """Mask AP in [0, 1] of a model without voting, and with each weight at each IoU threshold.

    Attributes:
        config: of the model.
        checkpoint: its weights.
        images: number of tested images.
        instances: number of instances that the model found in them.
        best: by weight, its row with the highest AP, that of the lowest threshold among equals.
        grid: rows of weight, iou_thr, AP, AP50 and AP75; the first is that without voting.
    """

    config: str
    checkpoint: str
    images: int
    instances: int
    best: dict[str, Row]
    grid: list[Row]

    def table(self) -> str:
        """AggMask, Table 1, as text, then the AP of every weight and threshold, in per cent."""
        baseline = self.grid[0]
        best = [self.best[weight] for weight in WEIGHTS]
        lines = [f'{self.images} images, {self.instances} instances']
        if not self.instances:
            lines += ['the model found nothing in any image: no score is above test_cfg.score_thr']
        lines += ['', _line('mask', ['baseline', *NAMES.values()])]
        lines += [_line(metric, [percent(row[metric], 2) for row in (baseline, *best)]) for metric in METRICS]
        lines += [_line('gain in AP', ['', *(_gain(row['AP'], baseline['AP']) for row in best)])]
        lines += [_line('IoU threshold', ['', *(f'{row["iou_thr"]:g}' for row in best)])]
        lines += ['', _line('AP at threshold', ['', *NAMES.values()])]
        cells = {(row['weight'], row['iou_thr']): row['AP'] for row in self.grid}
        for iou_thr in sorted({row['iou_thr'] for row in self.grid if row['iou_thr'] is not None}):
            lines += [_line(f'{iou_thr:g}', ['', *(percent(cells[weight, iou_thr], 2) for weight in WEIGHTS)])]
        return '\n'.join(lines)

    def write(self, folder: str | Path) -> None:
        """Write results.json, results.csv and curves.png."""
        folder = Path(folder)
        write_json(vars(self), folder / 'results.json')
        write_records(self.grid, folder / 'results.csv')
        plot(self.grid, folder / 'curves.png')


def mask_voting(
    config: str | Path,
    checkpoint: str | Path,
    *,
    coco: str | Path | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
    max_images: int | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> VotingReport:
    """Measure a trained model's mask AP without voting, and with each weight (avg, score, iou) at each IoU threshold.

    The network runs once per image.

    Args:
        config: of a model whose head ends in a `MaskPostProcessor`.
        checkpoint: its weights.
        coco: a folder in COCO format to test on instead of the config's data.
        thresholds: in [0, 1]; a candidate votes if its IoU with the mask is at least this.
        max_images: only the first of the images; None for all.
        device: e.g. `cuda:0`; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read checkpoints that hold code.

    Raises:
        InputError: the config, the checkpoint, the data or the device cannot be used, or no image has an annotation.
    """
    secure_loading(trust=trust_checkpoint)
    cfg, loader = images_to_test(config, coco=coco, max_images=max_images, cfg_options=cfg_options)
    dataset: CocoDataset = loader.dataset
    truth = read_annotations(dataset.ann_file)
    if not any(truth.annotations_by_image.get(dataset.get_data_info(i)['img_id']) for i in range(len(dataset))):
        raise InputError(f'{dataset.ann_file}: none of its {len(dataset)} images has an annotation, so there is no AP')
    model: BaseDetector = load_model(cfg, checkpoint, device)
    search = _install(model, config, sorted(set(thresholds)))
    check_classes(model, dataset)

    image_ids = _predict(model, loader, len(dataset))
    rows: list[Row] = []
    for variant in tqdm(search.variants, desc='evaluation', unit='variant'):
        found = list(search.records(variant, image_ids, dataset.cat_ids))
        ap = average_precisions(truth, found, 'segm', image_ids, dataset.cat_ids)
        weight, iou_thr = variant
        rows.append(Row(weight=weight, iou_thr=iou_thr, AP=ap['AP'], AP50=ap['AP50'], AP75=ap['AP75']))
    return VotingReport(
        config=str(config),
        checkpoint=str(checkpoint),
        images=len(image_ids),
        instances=sum(len(image.scores) for image in search.images),
        best={weight: _best(rows, weight) for weight in WEIGHTS},
        grid=rows,
    )


def _install(model: BaseDetector, config: str | Path, thresholds: Sequence[float]) -> VotingSearch:
    """Replace the post-processor of the model's head by a search."""
    heads = [x for x in model.modules() if isinstance(getattr(x, 'post_process', None), MaskPostProcessor)]
    if len(heads) != 1:
        raise InputError(
            f'config {config}: {len(heads) or "no"} heads of its {type(model).__name__} end in a MaskPostProcessor; '
            'mask voting needs one, such as GridMaskHead'
        )
    heads[0].post_process.mask_format = 'rle'
    search = heads[0].post_process = VotingSearch(heads[0].post_process, thresholds)
    return search


@torch.no_grad()
def _predict(model: BaseDetector, loader: DataLoader, images: int) -> list[int]:
    """Run the model on every image once; returns the images' ids."""
    image_ids = []
    with tqdm(total=images, desc='prediction', unit='image') as bar:
        for batch in loader:
            with running(model):
                samples = model.test_step(batch)
            image_ids += [sample.img_id for sample in samples]
            bar.update(len(samples))
    return image_ids


def _best(rows: Sequence[Row], weight: str) -> Row:
    """The row of a weight with the highest AP, the lowest threshold among equals."""
    return max((row for row in rows if row['weight'] == weight), key=lambda row: row['AP'] or 0)


def _gain(ap: float | None, baseline: float | None) -> str:
    return '–' if ap is None or baseline is None else f'{100 * (ap - baseline):+.2f}'


def _line(name: str, cells: Sequence[str]) -> str:
    return f'{name:<16}' + ''.join(f'{cell:>11}' for cell in cells)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw AP over the threshold, a curve per weight; the baseline, the first of `rows`, is dashed."""
    figure = Figure(figsize=SIZE, layout='constrained')
    axes = figure.subplots()
    for weight in WEIGHTS:
        own = [(row['iou_thr'], row['AP']) for row in rows if row['weight'] == weight]
        points = [(iou_thr, 100 * ap) for iou_thr, ap in own if iou_thr is not None and ap is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], marker='o', label=NAMES[weight])
    if rows[0]['AP'] is not None:
        axes.axhline(100 * rows[0]['AP'], color='grey', linestyle='--', label='baseline')
    axes.legend(frameon=False)
    axes.set(title='mask voting', xlabel='IoU threshold', ylabel='mask AP (%)')
    axes.grid(alpha=0.3)
    write_chart(figure, path)
