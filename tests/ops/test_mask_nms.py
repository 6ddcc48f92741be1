"""Matrix NMS against mmdet's and the authors' values, hard NMS against a naive loop."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmagg.ops import mask_iou, mask_nms, matrix_nms


def blobs(num: int, size: int = 24) -> torch.Tensor:
    """Random rectangles, never empty, that overlap a lot."""
    start = torch.randint(0, size // 2, (num, 2))
    end = start + torch.randint(2, size // 2, (num, 2))
    pixels = torch.arange(size)
    inside = (pixels >= start[..., None]) & (pixels < end[..., None])  # (N, 2, size)
    return inside[:, 0, :, None] & inside[:, 1, None, :]


def case(num: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return blobs(num), torch.rand(num).sort(descending=True).values, torch.randint(0, 3, (num,))


@pytest.mark.parametrize('num', [1, 2, 120])
@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_matrix_nms_equals_mmdet(num: int, kernel: str, class_agnostic: bool) -> None:
    mmdet_layers = pytest.importorskip('mmdet.models.layers')
    masks, scores, labels = case(num)
    got = matrix_nms(mask_iou(masks), scores, labels, kernel=kernel, sigma=1.5, class_agnostic=class_agnostic)
    want, want_labels, _, kept = mmdet_layers.mask_matrix_nms(
        masks, labels * (not class_agnostic), scores, kernel=kernel, sigma=1.5
    )
    # mmdet's linear kernel gives NaN (0 / 0) for a copy of a copy, which its filter then drops.
    assert torch.equal(got[kept], want.nan_to_num(nan=0.0))
    assert torch.equal(kept.sort().values, torch.arange(num))
    assert torch.equal(labels[kept] * (not class_agnostic), want_labels)


@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_matrix_nms_golden(shared: Path, kernel: str) -> None:
    golden = torch.load(shared / 'golden/aggmask/nms.pt', weights_only=True)
    num, height, width = golden['shape']
    bits = np.unpackbits(golden['seg'].numpy())[: num * height * width]
    masks = torch.from_numpy(bits.reshape(num, height, width)).bool()
    got = matrix_nms(mask_iou(masks), golden['scores'], golden['labels'], kernel=kernel)
    torch.testing.assert_close(got, golden[kernel], rtol=0, atol=1e-6)


@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_matrix_nms_of_copies(kernel: str) -> None:
    scores = torch.tensor([0.9, 0.8, 0.7])
    got = matrix_nms(torch.ones(3, 3), scores, torch.zeros(3), kernel=kernel)
    first_copies = torch.exp(torch.tensor(-2.0)) if kernel == 'gaussian' else 0.0
    torch.testing.assert_close(got, scores * torch.tensor([1.0, first_copies, first_copies]))


def test_matrix_nms_leaves_other_classes_alone() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7])
    got = matrix_nms(torch.ones(3, 3), scores, torch.tensor([0, 1, 2]))
    assert torch.equal(got, scores)


def naive_mask_nms(iou: torch.Tensor, labels: torch.Tensor, iou_thr: float) -> list[bool]:
    keep = []
    for j in range(len(iou)):
        keep.append(not any(keep[i] and labels[i] == labels[j] and iou[i, j] > iou_thr for i in range(j)))
    return keep


@pytest.mark.parametrize('num', [1, 2, 80])
@pytest.mark.parametrize('iou_thr', [0.0, 0.301, 0.701])  # not a ratio of few pixels: no rounding
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_mask_nms_equals_naive(num: int, iou_thr: float, class_agnostic: bool) -> None:
    masks, scores, labels = case(num)
    iou = mask_iou(masks)
    keep = mask_nms(iou, scores, labels, iou_thr=iou_thr, class_agnostic=class_agnostic)
    assert keep.dtype == torch.bool
    assert keep.tolist() == naive_mask_nms(iou.double(), labels * (not class_agnostic), iou_thr)


def test_mask_nms_suppressed_do_not_suppress() -> None:
    iou = torch.tensor([[1.0, 0.6, 0.0], [0.6, 1.0, 0.6], [0.0, 0.6, 1.0]])
    keep = mask_nms(iou, torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3))
    assert keep.tolist() == [True, False, True]


def test_mask_nms_at_the_threshold_stays() -> None:
    keep = mask_nms(torch.full((2, 2), 0.5), torch.tensor([0.9, 0.8]), torch.zeros(2), iou_thr=0.5)
    assert keep.tolist() == [True, True]


def test_no_masks() -> None:
    iou, scores, labels = torch.zeros(0, 0), torch.zeros(0), torch.zeros(0, dtype=torch.long)
    assert matrix_nms(iou, scores, labels).shape == (0,)
    assert mask_nms(iou, scores, labels).shape == (0,)


def test_unknown_kernel() -> None:
    with pytest.raises(ValueError, match="'cubic'"):
        matrix_nms(torch.ones(1, 1), torch.ones(1), torch.zeros(1), kernel='cubic')
