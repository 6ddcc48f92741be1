"""Generated objects and detections that the evaluation is timed on."""

import numpy as np
import pytest
import torch
from mmcv import rescale_size
from pycocotools import mask as coco_mask

from mmagg.costs.evaluation import MAX_DETECTIONS, annotations, binary_masks, detections, sizes
from mmagg.ops import boxes_from_masks

SHAPE = (96, 128)


def test_what_is_generated() -> None:
    content = annotations(200, SHAPE, seed=3)
    assert 6 < len(content['annotations']) / 200 < 8.5
    assert content == annotations(200, SHAPE, seed=3) != annotations(200, SHAPE, seed=4)
    for annotation in content['annotations'][:20]:
        rle = coco_mask.merge(coco_mask.frPyObjects(annotation['segmentation'], *SHAPE))
        x, y, w, h = annotation['bbox']
        assert 0 <= x <= x + w <= SHAPE[1] - 1
        assert 0 <= y <= y + h <= SHAPE[0] - 1
        assert abs(coco_mask.area(rle) - annotation['area']) < 2 * (w + h) + 4
    counts = [len(detections(i, SHAPE, 3)[1]) for i in range(40)]
    assert min(counts) < 15
    assert max(counts) <= MAX_DETECTIONS
    assert 42 < np.mean(counts) < 61
    (sample, probs), (_, again) = detections(5, SHAPE, 3), detections(5, SHAPE, 3)
    assert (probs == again).all()
    assert probs.min() >= 0
    assert probs.max() <= 1
    soft = (probs > 0.01) & (probs < 0.99)
    assert (soft.sum((1, 2)) > 10).all()
    masks = binary_masks(probs, torch.arange(len(probs)), SHAPE)
    assert masks.shape[1:] == SHAPE
    assert masks.any((1, 2)).float().mean() > 0.9
    boxes = sample['pred_instances']['bboxes']
    clear = (boxes > 3).all(1) & (boxes < torch.tensor(SHAPE[::-1] * 2) - 3).all(1)
    found = clear & masks.any((1, 2)) & (boxes[:, 2:] - boxes[:, :2] > 15).all(1)
    assert found.sum() > 3
    assert (boxes_from_masks(masks[found]) - boxes[found] - torch.tensor([0, 0, 1, 1])).abs().mean() < 1


@pytest.mark.parametrize(
    ('shape', 'image', 'padded', 'maps'),
    [((480, 640), (800, 1067), (800, 1088), (200, 272)), ((1000, 400), (1333, 533), (1344, 544), (336, 136))],
)
def test_sizes_are_those_of_mmdet(shape, image, padded, maps) -> None:
    assert sizes(shape) == {'map_size': maps, 'upsampled_size': padded, 'img_shape': image}
    assert rescale_size(shape[::-1], (1333, 800)) == image[::-1]
