"""Chunked resizing against mmdet's two interpolations at once; boxes against mmdet's mask2bbox."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import areas_and_sums, boxes_from_masks, chunk_size, full_size_masks, resize_masks
from mmagg.ops.mask_resize import CACHE_BYTES, cached_budget

SIZES = [
    # map, upsampled, crop, out
    ((10, 14), (40, 56), (37, 51), (71, 99)),
    ((10, 14), (40, 56), (37, 51), (37, 51)),  # no second resize
    ((10, 14), (40, 56), (40, 56), (20, 31)),
    ((10, 14), (10, 14), (10, 14), (10, 14)),  # no resize at all
]


def as_in_mmdet(probs, upsampled, crop, out, thr):
    x = F.interpolate(probs.unsqueeze(0), size=upsampled, mode='bilinear')[:, :, : crop[0], : crop[1]]
    return F.interpolate(x, size=out, mode='bilinear').squeeze(0) > thr


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('byte_budget', [1, 100_000, 2**30])
@pytest.mark.parametrize('num', [1, 7])
def test_full_size_equals_mmdet_bit_for_bit(sizes, byte_budget: int, num: int) -> None:
    map_size, upsampled, crop, out = sizes
    probs = torch.rand(num, *map_size)
    want = as_in_mmdet(probs, upsampled, crop, out, 0.5)
    got = torch.zeros_like(want)
    seen = torch.zeros(num, dtype=torch.long)
    for part, masks in full_size_masks(
        probs, upsampled_size=upsampled, crop=crop, out_size=out, mask_thr=0.5, byte_budget=byte_budget
    ):
        assert masks.dtype == torch.bool
        got[part] = masks
        seen[part] += 1
    assert (seen == 1).all()
    assert torch.equal(got, want)


def test_chunks_fit_the_budget() -> None:
    """300 masks of 4000×6000 pixels, sides scaled down by 10: no more at once than the budget allows."""
    sizes = {'upsampled_size': (80, 120), 'crop': (80, 120), 'out_size': (400, 600)}
    one = 4 * (2 * 80 * 120 + 400 * 600) + 2 * 400 * 600
    chunks = full_size_masks(torch.rand(300, 20, 30), **sizes, mask_thr=0.5, byte_budget=5 * one)
    lengths = [len(masks) for _, masks in chunks]
    assert lengths == [5] * 60


def test_no_masks_no_chunks() -> None:
    probs = torch.zeros(0, 4, 5)
    chunks = full_size_masks(probs, upsampled_size=(8, 10), crop=(8, 10), out_size=(9, 9), mask_thr=0.5, byte_budget=1)
    assert list(chunks) == []


def test_resize_masks() -> None:
    probs = torch.rand(3, 4, 5)
    assert resize_masks(probs, size=(4, 5)) is probs
    want = F.interpolate(probs[:, None], size=(9, 7), mode='bilinear', align_corners=False)[:, 0]
    torch.testing.assert_close(resize_masks(probs, size=(9, 7)), want)
    assert resize_masks(probs[:0], size=(9, 7)).shape == (0, 9, 7)


@pytest.mark.parametrize(('item', 'budget', 'want'), [(10, 100, 10), (10, 99, 9), (10, 3, 1), (0, 5, 5)])
def test_chunk_size(item: int, budget: int, want: int) -> None:
    assert chunk_size(item, budget) == want


def test_element_wise_work_stays_in_the_caches_of_a_cpu() -> None:
    assert cached_budget(2**40, torch.device('cpu')) == CACHE_BYTES
    assert cached_budget(2**40, torch.device('cuda')) == 2**40
    assert cached_budget(5, torch.device('cpu')) == 5


@pytest.mark.parametrize('budget', [1, 2**30])
def test_areas_and_sums(budget: int) -> None:
    probs = torch.rand(7, 4, 5)
    areas, sums = areas_and_sums(probs, mask_thr=0.3, byte_budget=budget)
    for mask, area, total in zip(probs, areas, sums, strict=True):
        assert area == len(mask[mask > 0.3])
        torch.testing.assert_close(total, mask[mask > 0.3].sum())
    assert areas_and_sums(probs[:0], mask_thr=0.3, byte_budget=budget)[0].shape == (0,)


def test_boxes_equal_mmdet() -> None:
    mask2bbox = pytest.importorskip('mmdet.structures.mask').mask2bbox
    masks = torch.rand(40, 13, 17) > 0.99
    masks[0] = False
    masks[1] = True
    masks[2] = False
    masks[2, 12, 16] = True
    boxes = boxes_from_masks(masks)
    assert boxes.dtype == torch.float32
    assert torch.equal(boxes, mask2bbox(masks))


def test_boxes() -> None:
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 1, 3] = masks[0, 4, 2] = True
    assert boxes_from_masks(masks).tolist() == [[2, 1, 4, 5], [0, 0, 0, 0]]


@pytest.mark.parametrize('shape', [(0, 6, 8), (2, 0, 8), (2, 6, 0)])
def test_boxes_of_nothing(shape: tuple[int, int, int]) -> None:
    boxes = boxes_from_masks(torch.zeros(shape, dtype=torch.bool))
    assert boxes.shape == (shape[0], 4)
    assert (boxes == 0).all()
