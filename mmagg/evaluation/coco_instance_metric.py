"""COCO's mask, box and boundary AP as a metric for mmengine's evaluator.

Shape shorthand: n predictions of an image of (H, W) pixels.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from mmagg.datasets.coco_file import Id, is_crowd
from mmagg.datasets.coco_objects import MAX_DETECTIONS, more_than_count
from mmagg.evaluation.coco_scores import (
    FEW,
    KINDS,
    check_images,
    check_outlines,
    coco_scores,
    read_annotations,
    score_names,
)
from mmagg.io.errors import InputError
from mmagg.ops import chunk_size, masks_to_rle

Kept = dict[str, Any]


@METRICS.register_module()
class COCOInstanceMetric(BaseMetric):
    """Mask and box AP of COCO: mmdet's `CocoMetric` with a faster evaluator and a score in every case.

    Names: `coco/segm_mAP`, `_mAP_50`, `_mAP_75`, `_mAP_s`, `_mAP_m`, `_mAP_l` as in `CocoMetric`, and COCO's six
    recalls `coco/segm_AR@1`, `_AR@10`, `_AR@100`, `_AR_s@100`, `_AR_m@100`, `_AR_l@100`; the same with `bbox` and
    `boundary`. Values are not rounded. All names are there in any case: with objects and no detections a value is 0,
    without objects (none annotated, or none of this size or class) -1, as COCO has it.

    Labels count the categories of the annotation file that the data set's `classes` name, in the file's order, as in
    `CocoDataset` and `CocoMetric`.

    The images that were looked at count, also those without predictions. Where that is a part of the file (`indices` or
    `filter_cfg` of the data set), a line says so; mmdet's `CocoMetric` takes all objects of the others for missed.

    Args:
        ann_file: annotations in COCO format.
        metric: which of `'bbox'`, `'segm'` and `'boundary'` to measure; see `coco_scores`.
        classwise: also AP of each class, as `segm_<class>_precision`.
        max_dets: detections of a class in an image that count, more than 10. Of another number than COCO's 100 the
            recalls have other names: `_AR@300`, `_AR_s@300`, …
        byte_budget: bytes for copies of masks while bitmaps are encoded as RLE.
        collect_device: `'cpu'` or `'gpu'`: memory in which processes exchange their results.
        prefix: instead of `coco`.

    Raises:
        ValueError: `metric` names nothing or something else, `max_dets` is too small, or the file is not COCO format.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        *,
        ann_file: str | Path,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        classwise: bool = False,
        max_dets: int = MAX_DETECTIONS,
        byte_budget: int = 2**23,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.kinds = [metric] if isinstance(metric, str) else list(metric)
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ValueError(f'metric={metric!r}: name one or more of {", ".join(KINDS)}')
        if max_dets <= max(FEW):
            raise ValueError(f'max_dets={max_dets}: more than {max(FEW)} detections must count')
        self.classwise, self.max_dets, self.byte_budget = classwise, max_dets, byte_budget
        self.ann_file = ann_file
        self.annotations = read_annotations(ann_file)

    @classmethod
    def score_names(
        cls,
        *,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        classwise: bool = False,
        max_dets: int = MAX_DETECTIONS,
        prefix: str | None = None,
        **_: Any,
    ) -> list[str] | None:
        """The names of the scores that a metric with these arguments has; None if they depend on the data's classes."""
        kinds = [metric] if isinstance(metric, str) else metric
        names = [name for kind in kinds for name in score_names(kind, max_dets)]
        return None if classwise else [f'{prefix or cls.default_prefix}/{name}' for name in names]

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """The data set's; mmengine sets it before a run begins, so what could not be scored is refused here.

        Raises:
            InputError: the annotation file lacks classes of the data set, or an annotation has no box or mask.
        """
        self._dataset_meta = dataset_meta
        known, images = set(self._category_ids()), self.annotations.image_by_id
        counted = [a for a in self.annotations.annotations if a['category_id'] in known and a['image_id'] in images]
        for kind in self.kinds:
            check_outlines(counted, kind, f'{self.ann_file}: annotation')
        if not self.annotations.annotations:
            self._warn(f'{self.ann_file} has no annotations: there is nothing to score, all scores are -1')
        places = ((a['image_id'], a['category_id']) for a in counted if not is_crowd(a))
        option = 'max_dets={} of COCOInstanceMetric'
        if line := more_than_count(places, images=len(images), max_dets=self.max_dets, option=option):
            self._warn(line)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep a batch's predictions: arrays and RLE, one entry an image.

        Args:
            data_batch: not read.
            data_samples: dicts with `img_id` and `pred_instances`: `labels` (n,), `scores` (n,), `bboxes` (n, 4) as
                x1 y1 x2 y2, `masks`, (n, H, W) of 0 and 1 or n dicts of compressed RLE, and maybe `mask_scores` (n,),
                the scores of the masks where they differ from those of the boxes.

        Raises:
            ValueError: predictions have no masks, and those are to be measured.
            InputError: an image is not annotated.
        """
        check_images(self.annotations, [sample['img_id'] for sample in data_samples])
        for sample in data_samples:
            found = sample['pred_instances']
            kept = {'image_id': sample['img_id']}
            names = ('labels', 'scores', 'bboxes', 'mask_scores')
            kept |= {name: _array(found[name]) for name in names if name in found}
            if self.kinds != ['bbox']:
                if 'masks' in found:
                    kept['masks'] = list(self._rles(found['masks']))
                elif len(kept['labels']):
                    raise ValueError("predictions have no masks: measure metric='bbox' only, or use a model with masks")
            self.results.append(kept)

    def compute_metrics(self, results: list[Kept]) -> dict[str, float]:
        """Score the kept predictions of all images; see the class for the names.

        Raises:
            InputError: the annotation file lacks classes of the data set.
        """
        category_ids, images = self._category_ids(), {kept['image_id']: kept for kept in results}
        if len(images) < len(self.annotations.image_by_id):
            self._warn(
                f'scored on {len(images)} of the {len(self.annotations.image_by_id)} images of {self.ann_file}: '
                'the data set leaves out the others (by its `indices` or filter_cfg), they do not count'
            )
        scores: dict[str, float] = {}
        for kind in self.kinds:
            records = [record for kept in images.values() for record in _records(kept, kind, category_ids)]
            print_log(f'{kind} AP of {len(records)} predictions in {len(images)} images ...', logger='current')
            scores |= coco_scores(
                self.annotations,
                records,
                kind=kind,
                image_ids=images,
                category_ids=category_ids,
                classwise=self.classwise,
                max_dets=self.max_dets,
            )
        return scores

    def _warn(self, text: str) -> None:
        print_log(text, logger='current', level=logging.WARNING)

    def _category_ids(self) -> list[Id]:
        """Category id by label."""
        classes = (self.dataset_meta or {}).get('classes')
        lacking = set(classes or ()) - {category['name'] for category in self.annotations.categories}
        if lacking:
            raise InputError(
                f'{self.ann_file} has no category {", ".join(sorted(lacking))}, which the data set names; '
                'set metainfo.classes to the categories of the file'
            )
        return self.annotations.category_ids(classes)

    def _rles(self, masks: Tensor | np.ndarray | Sequence[dict]) -> Iterator[dict]:
        """n dicts of RLE."""
        if not isinstance(masks, Tensor | np.ndarray):
            yield from masks
        elif len(masks):
            masks = torch.as_tensor(masks)
            for part in masks.split(chunk_size(masks[0].numel(), self.byte_budget)):
                yield from masks_to_rle(part.bool())


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    return (values.float() if values.is_floating_point() else values).cpu().numpy()  # NumPy has no bfloat16


def _records(kept: Kept, kind: str, category_ids: Sequence[Id]) -> Iterator[dict]:
    """COCO result records of an image."""
    boxes = kept['bboxes'].astype(float).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    shapes = boxes.tolist() if kind == 'bbox' else kept.get('masks', [])
    scores = kept['mask_scores' if kind != 'bbox' and 'mask_scores' in kept else 'scores']
    for label, score, shape in zip(kept['labels'].tolist(), scores.tolist(), shapes, strict=True):
        record = {'image_id': kept['image_id'], 'category_id': category_ids[label], 'score': score}
        yield {**record, 'bbox' if kind == 'bbox' else 'segmentation': shape}
