"""Predictions as result files: COCO's JSON, and mmdet's pickle.

A record of COCO's JSON may have a box and a mask. pycocotools' `COCO.loadRes` takes the area of all records from the
box where the first one has a box, so AP by size of masks would be wrong, and COCO's evaluation server reads one of the
two. So the masks and the boxes stand in a file of their own, too, as mmdet's `CocoMetric` writes them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mmengine
from mmdet.evaluation import DumpDetResults
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmagg.datasets.coco_file import Id
from mmagg.io.files import write_json, written_whole
from mmagg.rle.codes import instance_boxes, masks_to_rle

Sample = dict[str, Any]


def coco_records(predictions: Any, category_ids: Sequence[Id]) -> list[dict]:
    """COCO result records of one image, without the image's id.

    Args:
        predictions: a dict or InstanceData with ``labels`` (N,), ``scores`` (N,), ``bboxes`` (N, 4) and, for
            instance segmentation, ``masks``, (N, H, W) or N RLE dicts.
        category_ids: category id by class index.

    Returns:
        N dicts: category_id, bbox (x, y, width, height), score and, with masks, segmentation (RLE).
    """
    labels, scores = predictions['labels'].tolist(), predictions['scores'].tolist()
    masks = predictions['masks'] if 'masks' in predictions else None  # noqa: SIM401 (InstanceData's get is another)
    boxes = instance_boxes(predictions['bboxes'], masks, count=len(labels))
    boxes[:, 2:] -= boxes[:, :2]
    records = [
        {'category_id': category_ids[label], 'bbox': [round(v, 3) for v in box], 'score': score}
        for label, score, box in zip(labels, scores, boxes.tolist(), strict=True)
    ]
    if masks is not None:
        for record, rle in zip(records, masks_to_rle(masks), strict=True):
            record['segmentation'] = rle
    return records


PARTS = {'segm': 'segmentation', 'bbox': 'bbox'}
"""What is compared, as in mmdet's file names, and the key of a record that has it."""


def result_files(path: Path) -> dict[str, Path]:
    """The files of the masks alone ('segm') and of the boxes alone ('bbox') beside a COCO result file."""
    return {part: path.with_suffix(f'.{part}{path.suffix}') for part in PARTS}


def records_of(records: Iterable[dict], part: str) -> list[dict]:
    """Records with masks ('segm') or boxes ('bbox') alone, as pycocotools and COCO's evaluation server read them."""
    keys = ('image_id', 'category_id', PARTS[part], 'score')
    return [{key: record[key] for key in keys} for record in records]


def write_results(records: Sequence[dict], path: Path) -> None:
    """Write records to ``path`` and, if they have masks, these and the boxes apart, see `result_files`."""
    write_json(records, path)
    if all('segmentation' in record for record in records):
        for part, file in result_files(path).items():
            write_json(records_of(records, part), file)


class CocoResults(BaseMetric):
    """Writes the predictions of all processes as `write_results` does.

    Args:
        path: of the file.
        category_ids: category id by class index.

    Attributes:
        image_ids: the images that were looked at, once the file is there; none before.
        written: the file is there, whole.
    """

    default_prefix = 'results'

    def __init__(self, *, path: Path, category_ids: Sequence[Id]) -> None:
        super().__init__(collect_device='cpu')
        self.path, self.category_ids, self.written = path, category_ids, False
        self.image_ids: list[Id] = []

    def process(self, data_batch: Any, data_samples: Sequence[Sample]) -> None:
        """Keep a batch's predictions, one entry an image."""
        for sample in data_samples:
            records = coco_records(sample['pred_instances'], self.category_ids)
            self.results.append((sample['img_id'], records))

    def compute_metrics(self, results: list[tuple[Id, list[dict]]]) -> dict:
        """Write the file; returns no metrics."""
        images = dict(results)  # once each, also an image that was looked at twice
        records = [{'image_id': image_id, **record} for image_id, found in images.items() for record in found]
        print_log(f'writing {len(records)} predictions to {self.path} ...', logger='current')
        write_results(records, self.path)
        self.image_ids, self.written = list(images), True
        return {}


class PickledResults(DumpDetResults):
    """mmdet's pickle of predictions, also of masks that are RLE already; written to `path` whole or not at all."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(out_file_path=str(path))
        self.path, self.written = path, False

    def process(self, data_batch: Any, data_samples: Sequence[Sample]) -> None:
        """Keep a batch's predictions."""
        for sample in data_samples:
            found = dict(sample['pred_instances'])  # a copy, as other metrics read the same dict
            rles = found.pop('masks') if isinstance(found.get('masks'), list) else None
            super().process(data_batch, [{**sample, 'pred_instances': found}])
            if rles is not None:
                self.results[-1]['pred_instances']['masks'] = [dict(rle) for rle in rles]

    def compute_metrics(self, results: list) -> dict:
        """Write the file; returns no metrics."""
        with written_whole(self.path) as temporary:
            mmengine.dump(results, str(temporary), file_format='pkl')
        self.written = True
        return {}
