"""Result files as pycocotools reads them."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.results import CocoResults, result_files

IMAGES, SIDE, CATEGORIES = 6, 200, (7, 3)
NAMES = 'mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'  # in the order of COCOeval's stats


def stroke(rng: np.random.Generator) -> np.ndarray:
    """A diagonal stroke, whose box has several times its area: another size of COCO's three."""
    start, length, width = rng.integers(0, 60), rng.integers(20, 130), rng.integers(4, 30)
    y, x = np.mgrid[:SIDE, :SIDE]
    return (abs(x - y) < width) & (x >= start) & (x < start + length)


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, list[dict]]:
    """An annotation file, and predictions of its objects that are a little off."""
    rng = np.random.default_rng(0)
    annotations, samples = [], []
    for image_id in range(1, IMAGES + 1):
        masks = [stroke(rng) for _ in range(6)]
        labels = rng.integers(0, len(CATEGORIES), len(masks))
        for mask, label in zip(masks, labels, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': CATEGORIES[label],
                    'bbox': coco_mask.toBbox(rle).tolist(),
                    'segmentation': {**rle, 'counts': rle['counts'].decode()},
                    'area': float(coco_mask.area(rle)),
                    'iscrowd': 0,
                }
            )
        shifted = torch.from_numpy(np.stack([np.roll(mask, rng.integers(0, 4), axis=1) for mask in masks]))
        boxes = [coco_mask.toBbox(coco_mask.encode(np.asfortranarray(m.numpy().astype(np.uint8)))) for m in shifted]
        boxes = torch.from_numpy(np.stack(boxes)).float() + torch.tensor(
            [-2, 1, 3, 1]
        )  # as a detector's, not the masks'
        boxes[:, 2:] += boxes[:, :2]
        found = {'bboxes': boxes, 'labels': torch.from_numpy(labels), 'masks': shifted}
        found['scores'] = torch.from_numpy(rng.permutation(len(masks)) / 10 + 0.1)
        samples.append({'img_id': image_id, 'ori_shape': (SIDE, SIDE), 'pred_instances': found})
    images = [{'id': i, 'file_name': f'{i}.png', 'height': SIDE, 'width': SIDE} for i in range(1, IMAGES + 1)]
    categories = [{'id': one, 'name': f'class {one}'} for one in CATEGORIES]
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return path, samples


def written(samples: list[dict], path: Path) -> None:
    writer = CocoResults(path=path, category_ids=CATEGORIES)
    writer.process({}, samples)
    writer.evaluate(len(samples))


def scores(truth: Path, results: Path, kind: str) -> np.ndarray:
    """COCO's six AP by pycocotools."""
    annotations = COCO(str(truth))
    evaluation = COCOeval(annotations, annotations.loadRes(str(results)), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:6]


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_pycocotools_scores_the_written_file_as_the_metric_does(scene: tuple, tmp_path: Path, kind: str) -> None:
    truth, samples = scene
    written(samples, tmp_path / 'results.json')
    metric = COCOInstanceMetric(ann_file=truth)
    metric.dataset_meta = {'classes': [f'class {one}' for one in CATEGORIES]}
    metric.process({}, samples)
    measured = metric.evaluate(len(samples))
    expected = [measured[f'coco/{kind}_{name}'] for name in NAMES]
    assert len(set(expected)) > 4, 'sizes differ'
    np.testing.assert_allclose(scores(truth, result_files(tmp_path / 'results.json')[kind], kind), expected, atol=1e-9)
    if kind == 'segm':  # why masks have a file of their own
        assert not np.allclose(scores(truth, tmp_path / 'results.json', kind)[3:], expected[3:], atol=0.01)


def test_boxes_alone_are_one_file(scene: tuple, tmp_path: Path) -> None:
    _, samples = scene
    for sample in samples:
        del sample['pred_instances']['masks']
    written(samples, tmp_path / 'results.json')
    assert [path.name for path in tmp_path.glob('results*')] == ['results.json']


def test_of_no_predictions_all_files_are_there(tmp_path: Path) -> None:
    none = {'bboxes': torch.zeros(0, 4), 'labels': torch.zeros(0, dtype=torch.long), 'scores': torch.zeros(0)}
    written(
        [{'img_id': 1, 'pred_instances': {**none, 'masks': torch.zeros(0, 4, 4, dtype=torch.bool)}}],
        tmp_path / 'r.json',
    )
    assert {path.name: json.loads(path.read_text()) for path in tmp_path.glob('r.*')} == {
        'r.json': [],
        'r.segm.json': [],
        'r.bbox.json': [],
    }
