"""AP*: COCO-trained models measured against LVIS's finer annotations (AggMask, section 5 and Table 2).

Shape shorthand: n predictions of an image of (H, W) pixels, T IoU thresholds, R recall thresholds, K categories.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmagg.datasets.coco_file import Id, in_order
from mmagg.datasets.cocofied_lvis import COCO_IDS, LISTS, read_cocofied
from mmagg.evaluation.coco_scores import coco_evaluator, mean_precision
from mmagg.evaluation.lvis_reference import reference_precision, require_lvis
from mmagg.io.errors import InputError
from mmagg.rle.codes import instance_boxes, masks_to_rle

KINDS = ('bbox', 'segm')
EVALUATORS = ('faster-coco-eval', 'lvis')
IOUS = np.linspace(0.5, 0.95, 10)
# Name and the IoU thresholds it is the mean over; 75 is LVIS's, the others are the columns of the paper's table.
AT = {'AP*': range(10), **{f'AP*{iou}': [(iou - 50) // 5] for iou in (50, 60, 70, 75, 80, 90)}}
# 000000266409.jpg since 2017, COCO_val2014_000000266409.jpg before and in LVIS v0.5.
COCO_FILE = re.compile(r'(?:COCO_[a-z]+\d+_)?(\d{12})')

Kept = tuple[Id, list[dict]]


@METRICS.register_module()
class LVISStarMetric(BaseMetric):
    """AP* of a COCO-trained model: LVIS's federated AP over COCO's categories.

    It stands beside COCO's own metric, so that one run of `tools/test.py` gives both:

        test_evaluator = [
            _base_.test_evaluator,
            dict(type='LVISStarMetric', lvis_file='data/lvis/lvis_v0.5_val_cocofied.json'),
        ]

    with the file that `tools/dataset_converters/cocofy_lvis.py` makes of LVIS's. Names: `lvis/segm_AP*` (mean over
    IoU 0.5 to 0.95), `lvis/segm_AP*50`, `*60`, `*70`, `*75`, `*80`, `*90`, and the same with `bbox`; not rounded. They
    are there in any case: with objects and no detections a value is 0, without objects or images in common -1.

    By LVIS's rules, a detection counts only in images in which its category is annotated or listed as negative; where
    the category is not annotated exhaustively, a detection that overlaps no object is no error.

    An image of the run is LVIS's image of the same COCO file name (the numbers of 2014 and 2017 are the same), or,
    if its name is none of COCO's, the one of the same id and size. Others are left out, LVIS's images that are not in
    the run as well, with a note of how many. Classes are matched by COCO's names; AP* is over those that the model
    knows.

    Args:
        lvis_file: LVIS annotations restricted to COCO's categories. Not called `ann_file`, because
            `tools/test.py --coco DIR` sets that of all evaluators to COCO's file.
        metric: `'bbox'`, `'segm'` or both.
        max_dets: detections of an image that count, those with the highest scores, of all categories together.
        evaluator: `'faster-coco-eval'`, or `'lvis'`, LVIS's own package (`pip install 'mmagg[lvis]'`): the reference,
            with the same scores, and slower.
        collect_device: `'cpu'` or `'gpu'`: memory in which processes exchange their results.
        prefix: instead of `lvis`.

    Raises:
        OSError: the file cannot be read.
        ValueError: `metric`, `max_dets` or `evaluator` is wrong, `lvis` is not installed, or the file is not LVIS with
            COCO's category ids.
    """

    default_prefix = 'lvis'

    def __init__(
        self,
        *,
        lvis_file: str | Path,
        metric: str | Sequence[str] = KINDS,
        max_dets: int = 300,
        evaluator: str = 'faster-coco-eval',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.kinds = [metric] if isinstance(metric, str) else list(metric)
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ValueError(f'metric={metric!r}: name one or both of {", ".join(KINDS)}')
        if max_dets < 1:
            raise ValueError(f'max_dets={max_dets}: at least one detection must count')
        if evaluator not in EVALUATORS:
            raise ValueError(f'evaluator={evaluator!r}: name one of {", ".join(EVALUATORS)}')
        if evaluator == 'lvis':
            require_lvis()
        self.lvis_file, self.max_dets, self.evaluator = lvis_file, max_dets, evaluator
        self.lvis = read_cocofied(Path(lvis_file))
        self.by_id = {image['id']: image for image in self.lvis['images']}
        names = (image.get('coco_url') or image.get('file_name') or '' for image in self.lvis['images'])
        self.by_number = {
            coco_number(name) or image['id']: image for name, image in zip(names, self.lvis['images'], strict=True)
        }

    @classmethod
    def score_names(cls, *, metric: str | Sequence[str] = KINDS, prefix: str | None = None, **_: Any) -> list[str]:
        """The names of the scores that a metric with these arguments has."""
        kinds = [metric] if isinstance(metric, str) else metric
        return [f'{prefix or cls.default_prefix}/{kind}_{name}' for kind in kinds for name in AT]

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """The data set's, before a run; raises InputError if none of its classes is one of COCO's."""
        self._dataset_meta = dataset_meta
        self._category_ids()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep a batch's predictions, one entry an image: None for an image that LVIS does not have.

        Args:
            data_batch: not read.
            data_samples: dicts with `img_id`, `img_path`, `ori_shape` (H, W) and `pred_instances`: `labels` (n,),
                `scores` (n,), `bboxes` (n, 4) as x1 y1 x2 y2, `masks`, (n, H, W) or n dicts of RLE, and maybe
                `mask_scores` (n,), the scores of the masks where they differ from those of the boxes.

        Raises:
            ValueError: an image is of another size than LVIS's, or the predictions have no masks and those are to be
                measured.
        """
        category_ids = self._category_ids()
        for sample in data_samples:
            image = self._lvis_image(sample)
            found = sample['pred_instances']
            self.results.append(None if image is None else (image['id'], self._records(found, category_ids)))

    def compute_metrics(self, results: list[Kept | None]) -> dict[str, float]:
        """Score the kept predictions of all images; see the class for the names."""
        kept = dict(entry for entry in results if entry is not None)
        note = (
            f'AP*: {len(kept)} images; {results.count(None)} of the run are not in {self.lvis_file}, '
            f'{len(self.by_id) - len(kept)} in it are not in the run'
        )
        print_log(note, logger='current', level=logging.INFO if kept else logging.WARNING)
        scores = {}
        for kind in self.kinds:
            precision = self._precision(kept, kind)
            for name, thresholds in AT.items():
                scores[f'{kind}_{name}'] = mean_precision(precision[thresholds])
        return scores

    def _category_ids(self) -> list[int | None]:
        """COCO's category id by label; None for a class that COCO does not have."""
        classes = (self.dataset_meta or {}).get('classes') or ()
        category_ids = [COCO_IDS.get(name) for name in classes]
        if not any(category_ids):
            raise InputError(
                f"LVISStarMetric measures COCO's classes by their names, of which the data set ({len(classes)} classes"
                f'{": " if classes else ""}{", ".join(classes[:4])}) has none'
            )
        return category_ids

    def _lvis_image(self, sample: dict) -> dict | None:
        """LVIS's entry of an image; None if LVIS does not have it."""
        size, number = tuple(sample['ori_shape'][:2]), coco_number(sample.get('img_path') or '')
        image = self.by_id.get(sample.get('img_id')) if number is None else self.by_number.get(number)
        if image is None or size == (image['height'], image['width']):
            return image
        if number is None:
            return None
        raise ValueError(
            f'{sample["img_path"]} is {size[0]} x {size[1]} pixels, in {self.lvis_file} it is '
            f'{image["height"]} x {image["width"]}: AP* needs images of their original size'
        )

    def _records(self, found: dict, category_ids: Sequence[int | None]) -> list[dict]:
        """The predictions of an image, of COCO's classes."""
        masks = found.get('masks')
        labels = found['labels'].tolist()
        needed = bool(labels) and 'segm' in self.kinds
        if masks is None and needed:
            raise ValueError("the model predicts no masks: LVISStarMetric needs metric='bbox'")
        boxes = instance_boxes(found['bboxes'], masks, count=len(labels))
        boxes[:, 2:] -= boxes[:, :2]
        scores = found['scores'].tolist()
        columns = {
            'category_id': [category_ids[label] for label in labels],
            'bbox': boxes.tolist(),
            'bbox_score': scores,
            'segm_score': found['mask_scores'].tolist() if 'mask_scores' in found else scores,
            'segmentation': [None] * len(labels) if masks is None or not needed else masks_to_rle(masks),
        }
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        return [row for row in rows if row['category_id'] is not None]

    def _precision(self, kept: dict[Id, list[dict]], kind: str) -> np.ndarray:
        """(T, R, K) precision, -1 where a category has no object; (T, 0, 0) of nothing."""
        known = set(self._category_ids()) if kept else set()
        numbers = {image_id: number for number, image_id in enumerate(in_order(kept), 1)}
        categories = [category for category in self.lvis['categories'] if category['id'] in known]
        if not categories:
            return np.empty((len(IOUS), 0, 0))
        truth = {
            'images': [
                {**self.by_id[one], 'id': number, **{key: _within(self.by_id[one][key], known) for key in LISTS}}
                for one, number in numbers.items()
            ],
            'categories': [{**category, 'id': int(category['id'])} for category in categories],
            # Copies, because the evaluator adds its own fields. It knows integers alone, as `coco_scores` says.
            'annotations': [
                {**a, 'id': i, 'image_id': numbers[a['image_id']], 'category_id': int(a['category_id'])}
                for i, a in enumerate(self.lvis['annotations'], 1)
                if a['image_id'] in kept and a['category_id'] in known
            ],
        }
        judged = {(a['image_id'], a['category_id']) for a in truth['annotations']}
        judged |= {(image['id'], c) for image in truth['images'] for c in image['neg_category_ids'] if c in known}
        found = {numbers[image_id]: records for image_id, records in kept.items()}
        detections = list(self._detections(found, kind, judged))
        if self.evaluator == 'lvis':
            return reference_precision(truth, detections, kind, max_dets=self.max_dets)
        evaluator = coco_evaluator(truth, detections, kind, lvis_style=True)
        evaluator.params.iouThrs = IOUS
        evaluator.params.maxDets = [self.max_dets]
        evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ['all']
        evaluator.evaluate()
        evaluator.accumulate()
        return evaluator.eval['precision'][..., 0, 0]

    def _detections(self, kept: dict[int, list[dict]], kind: str, judged: set[tuple[int, int]]) -> Iterator[dict]:
        """Result records for the evaluator of the predictions that count: those of the `judged` (image, category)."""
        shape = 'bbox' if kind == 'bbox' else 'segmentation'
        number = 0
        for image_id, records in kept.items():
            # LVIS's limit is of an image, the evaluator's of a category in it.
            for record in sorted(records, key=lambda r: -r[f'{kind}_score'])[: self.max_dets]:
                # The evaluator would leave the others out too, but fails on them where an image has no object.
                if (image_id, record['category_id']) in judged:
                    number += 1
                    yield {
                        'id': number,
                        'image_id': image_id,
                        'category_id': record['category_id'],
                        'score': record[f'{kind}_score'],
                        shape: record[shape],
                        'area': 1.0,  # sizes are not told apart
                        'iscrowd': 0,
                    }


def _within(category_ids: Sequence[int], known: set[int | None]) -> list[int]:
    """Those of a list that are known, as integers."""
    return [int(one) for one in category_ids if one in known]


def coco_number(path: str) -> int | None:
    """The number in the file name of an image of COCO, of 2014 or of 2017; None for other names."""
    match = COCO_FILE.fullmatch(Path(path).stem)
    return int(match[1]) if match else None
