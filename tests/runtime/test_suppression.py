"""NMS in NumPy against that in PyTorch, and of boxes against a plain loop."""

import numpy as np
import pytest
import torch

from mmagg import ops
from mmagg.runtime import suppression
from mmagg.runtime.suppression import MaskNMS, MatrixNMS, box_nms, mask_iou


def some(seed: int, num: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, copies and empty ones among them, descending scores, and labels."""
    rng = np.random.default_rng(seed)
    masks = rng.random((num, 9, 14)) < rng.random((num, 1, 1))
    masks[num // 2 :] = masks[: num - num // 2]
    return masks, np.sort(rng.random(num, np.float32))[::-1].copy(), rng.integers(0, 3, num)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(x) for x in arrays]


def test_iou_within_groups_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, _, labels = some(0)
    want = ops.mask_iou(torch.from_numpy(masks)).numpy()
    monkeypatch.setattr(suppression, 'BLOCK_BYTES', 4 * 30 * 11)  # several blocks, the last one shorter
    np.testing.assert_array_equal(mask_iou(masks, np.zeros(30, int)), want)
    np.testing.assert_array_equal(mask_iou(masks, labels), want * (labels[:, None] == labels))
    assert mask_iou(masks[:0], labels[:0]).shape == (0, 0)


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('options', [{}, {'kernel': 'linear'}, {'sigma': 0.5}])
def test_matrix_nms_is_that_of_torch(options: dict, agnostic: bool) -> None:
    for seed in range(10):
        masks, scores, labels = some(seed)
        iou = ops.mask_iou(torch.from_numpy(masks))
        want = ops.matrix_nms(iou, *tensors(scores, labels), class_agnostic=agnostic, **options)
        nms = MatrixNMS(class_agnostic=agnostic, **options)
        found = nms(mask_iou(masks, labels * (not agnostic)), scores)
        np.testing.assert_allclose(found, want.numpy(), rtol=2e-6)
        assert found.dtype == np.float32
    assert nms(np.zeros((0, 0), np.float32), scores[:0]).shape == (0,)


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('iou_thr', [0.1, 0.5, 1])
def test_mask_nms_is_that_of_torch(iou_thr: float, agnostic: bool) -> None:
    for seed in range(10):
        masks, scores, labels = some(seed)
        iou = ops.mask_iou(torch.from_numpy(masks))
        want = ops.mask_nms(iou, *tensors(scores, labels), iou_thr=iou_thr, class_agnostic=agnostic)
        found = MaskNMS(iou_thr=iou_thr, class_agnostic=agnostic)(mask_iou(masks, labels * (not agnostic)), scores)
        np.testing.assert_array_equal(found, scores * want.numpy())


def test_boxes_are_dropped_by_better_ones_of_their_class() -> None:
    rng = np.random.default_rng(0)
    for most in (3, 100):
        corner = rng.uniform(-30, 60, (40, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0, 50, (40, 2))], 1).astype(np.float32)
        labels = rng.integers(0, 2, 40)
        kept: list[int] = []
        for i, box in enumerate(boxes):
            overlaps = [_iou(box, boxes[j]) for j in kept if labels[j] == labels[i]]
            if max(overlaps, default=0) <= 0.5:
                kept.append(i)
        assert 10 < len(kept) < 40
        assert box_nms(boxes, labels, iou_thr=0.5, most=most).tolist() == kept[:most]
    assert box_nms(boxes[:0], labels[:0], iou_thr=0.5, most=3).tolist() == []


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inter = np.maximum(high - low, 0).prod()
    return float(inter / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - inter))
