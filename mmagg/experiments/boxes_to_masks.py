"""The AP of a model's masks in another detector's boxes: do better boxes give better masks? (MEInst, Table 1)"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets import CocoDataset
from mmdet.models.detectors import BaseDetector
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import load_model
from mmagg.datasets.coco_file import BAD, CocoFile, read_records
from mmagg.engine.first_step import running
from mmagg.evaluation.coco_scores import AP_NAMES, average_precisions, read_annotations
from mmagg.evaluation.results import write_results
from mmagg.experiments.coco_loader import check_classes, images_to_test
from mmagg.experiments.mask_branch import GivenBoxes, MaskBranch, fill_boxes, mask_branch
from mmagg.io.errors import InputError, check_fraction
from mmagg.io.files import write_json
from mmagg.io.tables import percent

KEYS = ('image_id', 'category_id', 'bbox', 'score')
NAMES = {'bbox': 'box', 'segm': 'mask'}

Records = dict[int | str, list[dict]]
"""COCO result records by the image's id, the most certain first."""


@dataclass(frozen=True)
class FilledReport:
    """The masks of a model in another detector's boxes, and the AP of both.

    Attributes:
        summary: config, checkpoint, boxes_from; the numbers of images, boxes and masks; bbox and segm, the AP by the
            names of `AP_NAMES`, in [0, 1], None where there is no object.
        records: COCO result records, the boxes with their masks.
    """

    summary: dict[str, Any]
    records: list[dict]

    def table(self) -> str:
        """The numbers of images, boxes and masks, then AP in per cent, a line for boxes and one for masks."""
        images, boxes, masks = (self.summary[key] for key in ('images', 'boxes', 'masks'))
        lines = [f'{images} images, {boxes} boxes ({boxes / images:.1f} per image), {masks} masks']
        if masks < boxes:
            lines += [f'{boxes - masks} boxes have no area in their image, and so no mask']
        lines += ['', _line('', AP_NAMES)]
        for kind, name in NAMES.items():
            lines += [_line(name, [percent(self.summary[kind][metric], 2) for metric in AP_NAMES])]
        return '\n'.join(lines)

    def write(self, path: str | Path) -> None:
        """Write the records to NAME.json, masks and boxes apart beside it, and the summary to NAME.metrics.json."""
        path = Path(path)
        write_results(self.records, path)
        write_json(self.summary, path.with_suffix('.metrics.json'))


def boxes_to_masks(
    config: str | Path,
    checkpoint: str | Path,
    boxes: str | Path,
    *,
    coco: str | Path | None = None,
    max_images: int | None = None,
    score_thr: float = -math.inf,
    max_per_image: int = 100,
    device: str | None = None,
    cfg_options: dict | None = None,
    trust_checkpoint: bool = False,
) -> FilledReport:
    """Predict a trained model's masks in another detector's boxes, and measure the AP of both.

    Args:
        config: of the model with the mask branch, see `mask_branch`.
        checkpoint: its weights.
        boxes: a COCO result file of image_id, category_id, bbox and score.
        coco: a folder in COCO format to test on instead of the config's data.
        max_images: only the first of the images; None for all.
        score_thr: boxes with a lower score are left out; from 0 to 1.
        max_per_image: number of an image's most certain boxes to take.
        device: e.g. `cuda:0`; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read checkpoints that hold code.

    Raises:
        InputError: the config, the checkpoint, the boxes, the data or the device cannot be used.
    """
    if score_thr != -math.inf:
        check_fraction(score_thr, '--score-thr')
    secure_loading(trust=trust_checkpoint)
    cfg, loader = images_to_test(config, coco=coco, max_images=max_images, cfg_options=cfg_options)
    dataset: CocoDataset = loader.dataset
    truth = read_annotations(dataset.ann_file)
    image_ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    annotated = truth.annotations_by_image
    if not any(annotation.get('segmentation') for i in image_ids for annotation in annotated.get(i, ())):
        raise InputError(f'{dataset.ann_file}: none of its {len(image_ids)} images has a mask, so there is no AP')
    boxes = Path(boxes)
    given = _chosen(boxes, read_boxes(boxes, truth, dataset.cat_ids), image_ids, score_thr, max_per_image)
    model: BaseDetector = load_model(cfg, checkpoint, device)
    check_classes(model, dataset)

    filled = _predict(model, loader, given, config)
    records = [{key: record[key] for key in KEYS} for image in given.values() for record in image]
    tqdm.write(f'AP of {len(records)} boxes and {len(filled)} masks ...', file=sys.stderr)
    summary = {
        'config': str(config),
        'checkpoint': str(checkpoint),
        'boxes_from': str(boxes),
        'images': len(image_ids),
        'boxes': len(records),
        'masks': len(filled),
        'bbox': average_precisions(truth, records, 'bbox', image_ids, dataset.cat_ids),
        'segm': average_precisions(truth, filled, 'segm', image_ids, dataset.cat_ids),
    }
    return FilledReport(summary, filled)


def read_boxes(path: Path, truth: CocoFile, category_ids: Sequence[int]) -> Records:
    """The boxes of a COCO result file, without further fields.

    Args:
        path: the file.
        truth: the annotations of the images.
        category_ids: the categories that the data set has.

    Raises:
        InputError: it is no such file, or not one of these images and categories.
    """
    content = read_records(path)
    if not content:
        raise InputError(f'{path}: holds no boxes')
    known = set(category_ids)
    records: Records = {}
    for i, entry in enumerate(content):
        try:
            record = {key: entry[key] for key in KEYS}
            image, is_known = truth.image_by_id.get(record['image_id']), record['category_id'] in known
            x, y, width, height = record['bbox']
            sound = all(map(math.isfinite, (x, y, width, height, record['score']))) and min(width, height) >= 0
        except BAD as error:
            raise InputError(f'{path}: entry {i} is no box ({type(error).__name__}: {error})') from error
        where = f'{path}: entry {i}, bbox {record["bbox"]} with score {record["score"]}'
        if image is None:
            raise InputError(f'{where}: the data have no image {record["image_id"]!r}')
        if not is_known:
            raise InputError(f'{where}: the data have no category {record["category_id"]!r}')
        if not sound:
            raise InputError(f'{where}: a number is not finite or a side negative')
        if x > image['width'] or y > image['height'] or x + width < 0 or y + height < 0:
            raise InputError(
                f'{where}: is outside of image {image["id"]!r} ({image["width"]} x {image["height"]}); bbox is x, y, '
                'width, height in pixels of the original image'
            )
        records.setdefault(image['id'], []).append(record)
    return {key: sorted(found, key=lambda record: -record['score']) for key, found in records.items()}


def _chosen(boxes: Path, records: Records, image_ids: Sequence[int], score_thr: float, max_per_image: int) -> Records:
    """The `max_per_image` most certain records of each image, if their score is at least `score_thr`."""
    sure: Records = {
        key: [record for record in records.get(key, ()) if record['score'] >= score_thr][:max_per_image]
        for key in image_ids
    }
    if not any(sure.values()):
        raise InputError(
            f'{boxes}: none of its {sum(map(len, records.values()))} boxes has a score of {score_thr:g} or more and '
            f'is in the {len(image_ids)} images'
        )
    return sure


@torch.no_grad()
def _predict(model: BaseDetector, loader: DataLoader, given: Records, config: str | Path) -> list[dict]:
    """The given records with a mask each, without those that have no area; images without boxes are skipped."""
    try:
        branch = mask_branch(model)
    except ValueError as error:
        raise InputError(f'config {config}: {error}') from error
    dataset: CocoDataset = loader.dataset
    label_of = {category_id: label for label, category_id in enumerate(dataset.cat_ids)}
    filled = []
    with tqdm(total=len(dataset), desc='prediction', unit='image') as bar:
        for batch in loader:
            if any(given[sample.img_id] for sample in batch['data_samples']):
                with running(model):
                    filled += _filled(model, branch, batch, given, label_of)
            bar.update(len(batch['data_samples']))
    return filled


def _filled(
    model: BaseDetector, branch: MaskBranch, batch: dict, given: Records, label_of: dict[int, int]
) -> list[dict]:
    """The given records of a batch with a mask each."""
    batch, filled = model.data_preprocessor(batch, False), []
    feats = model.extract_feat(batch['inputs'])
    for i, sample in enumerate(batch['data_samples']):
        records = given[sample.img_id]
        if records:
            boxes = _as_tensors(records, label_of, feats[0].device)
            found = fill_boxes(branch, [x[i : i + 1] for x in feats], sample, boxes)
            filled += [
                {**records[index], 'score': score, 'segmentation': mask}
                for index, score, mask in zip(*found, strict=True)
            ]
    return filled


def _as_tensors(records: Sequence[dict], label_of: dict[int, int], device: torch.device) -> GivenBoxes:
    corners = [(x, y, x + width, y + height) for x, y, width, height in (record['bbox'] for record in records)]
    return GivenBoxes(
        torch.tensor(corners, dtype=torch.float32, device=device),
        # As exact as in the file, so that boxes and masks rank the same.
        torch.tensor([record['score'] for record in records], dtype=torch.float64, device=device),
        torch.tensor([label_of[record['category_id']] for record in records], device=device),
    )


def _line(name: str, cells: Sequence[str]) -> str:
    return f'{name:<6}' + ''.join(f'{cell:>8}' for cell in cells)
