"""Resizing by windows against mmdet's two interpolations of whole images; boxes against mmdet's mask2bbox."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import (
    areas_and_sums,
    boxes_from_masks,
    full_size_masks,
    full_size_windows,
    mask_resize,
    resize_masks,
    write_windows,
)

SIZES = [
    # map, upsampled, crop, out
    ((10, 14), (40, 56), (37, 51), (71, 99)),
    ((10, 14), (40, 56), (37, 51), (37, 51)),  # no second resize
    ((10, 14), (40, 56), (40, 56), (20, 31)),
    ((10, 14), (40, 56), (40, 56), (3, 5)),  # pixels of the map that no pixel of the image depends on
    ((10, 14), (4, 6), (4, 5), (33, 27)),
    ((10, 14), (10, 14), (10, 14), (10, 14)),  # no resize at all
    ((1, 14), (4, 56), (3, 51), (1, 1)),
]
BUDGETS = [1, 20_000, 2**30]


def some_probs(num: int, size: tuple[int, int]) -> torch.Tensor:
    """Rectangles of noise in nothing: of all sizes, at the borders as well; the first is empty, the last full."""
    height, width = size
    low, high = torch.rand(2, num, 2, 1).mul(1.4).sub(0.2).sort(0).values
    y, x = torch.arange(height) / height, torch.arange(width) / width
    inside_y, inside_x = (low[:, 0] <= y) & (y <= high[:, 0]), (low[:, 1] <= x) & (x <= high[:, 1])
    probs = torch.rand(num, height, width) * (inside_y[:, :, None] & inside_x[:, None])
    probs[0], probs[-1] = 0, 0.7
    return probs


def as_in_mmdet(probs, upsampled, crop, out):
    x = F.interpolate(probs.unsqueeze(0), size=upsampled, mode='bilinear')[:, :, : crop[0], : crop[1]]
    return F.interpolate(x, size=out, mode='bilinear').squeeze(0)


def assert_same(masks: torch.Tensor, soft: torch.Tensor, mask_thr: float) -> None:
    """Equal but where float32 rounding decides."""
    assert masks.dtype == torch.bool
    differs = masks != (soft > mask_thr)
    assert ((soft[differs] - mask_thr).abs() < 1e-6).all()
    assert differs.sum() <= 1e-5 * differs.numel()


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize('byte_budget', BUDGETS)
@pytest.mark.parametrize('mask_thr', [0.5, 0.05])
def test_full_size_equals_mmdet(sizes, byte_budget: int, mask_thr: float) -> None:
    map_size, upsampled, crop, out = sizes
    probs = some_probs(20, map_size)
    soft = as_in_mmdet(probs, upsampled, crop, out)
    assert (soft > mask_thr).any()
    kwargs = {'upsampled_size': upsampled, 'crop': crop, 'out_size': out, 'mask_thr': mask_thr}
    masks, boxes = full_size_masks(probs, **kwargs, byte_budget=byte_budget)
    assert_same(masks, soft, mask_thr)
    assert torch.equal(boxes, boxes_from_masks(masks))


@pytest.mark.parametrize('byte_budget', BUDGETS)
def test_windows_have_each_mask_once_and_its_box(byte_budget: int) -> None:
    map_size, upsampled, crop, out = SIZES[0]
    probs = some_probs(20, map_size)
    sizes = {'upsampled_size': upsampled, 'crop': crop, 'out_size': out}
    want, boxes = full_size_masks(probs, **sizes, mask_thr=0.5, byte_budget=2**30)
    got, seen = torch.zeros_like(want), torch.zeros(20, dtype=torch.long)
    for windows, around in full_size_windows(probs, **sizes, mask_thr=0.5, byte_budget=byte_budget):
        assert byte_budget > 1 or len(windows.indices) == 1
        write_windows(got, windows)
        assert torch.equal(around, boxes[windows.indices])
        seen[windows.indices] += 1
    assert (seen == 1).all()
    assert torch.equal(got, want)


def test_a_gpu_has_fewer_chunks_with_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    map_size, upsampled, crop, out = SIZES[0]
    probs = some_probs(20, map_size)
    sizes = {'upsampled_size': upsampled, 'crop': crop, 'out_size': out, 'mask_thr': 0.5, 'byte_budget': 2**30}
    want, chunks = full_size_masks(probs, **sizes)[0], len(list(full_size_windows(probs, **sizes)))
    monkeypatch.setattr(mask_resize, 'CPU_SIZES', mask_resize.GPU_SIZES)
    assert torch.equal(full_size_masks(probs, **sizes)[0], want)
    assert len(list(full_size_windows(probs, **sizes))) < chunks


def test_windows_are_small_and_chunks_fit_the_budget() -> None:
    """Masks of 2000×3000 pixels, sides scaled down by 5."""
    probs = some_probs(300, (20, 30))
    sizes = {'upsampled_size': (80, 120), 'crop': (80, 120), 'out_size': (400, 600)}
    budget = 2 * 6 * 400 * 600
    pixels = 0
    for windows, _ in full_size_windows(probs, **sizes, mask_thr=0.0, byte_budget=budget):
        assert 6 * windows.rows.numel() <= budget
        pixels += windows.rows.numel()
    # A pixel of the map is 20 pixels wide and reaches two thirds as far again on both sides, half of it into the next.
    above = probs > 0
    reached = (20 * above.any(2).sum(1) + 30) * (20 * above.any(1).sum(1) + 30)
    assert pixels < 2 * reached.sum()


def test_no_masks() -> None:
    kwargs = {'upsampled_size': (8, 10), 'crop': (8, 10), 'out_size': (9, 9), 'mask_thr': 0.5, 'byte_budget': 1}
    assert [x.shape for x in full_size_masks(torch.zeros(0, 4, 5), **kwargs)] == [(0, 9, 9), (0, 4)]
    assert list(full_size_windows(torch.zeros(0, 4, 5), **kwargs)) == []


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_resizes_in_float32_whatever_the_input(dtype: torch.dtype) -> None:
    map_size, upsampled, crop, out = SIZES[0]
    probs = some_probs(20, map_size).requires_grad_().to(dtype)
    kwargs = {'upsampled_size': upsampled, 'crop': crop, 'out_size': out, 'mask_thr': 0.5, 'byte_budget': 2**20}
    want, _ = full_size_masks(probs.float(), **kwargs)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(full_size_masks(probs, **kwargs)[0], want)


@pytest.mark.gpu
@pytest.mark.parametrize('sizes', SIZES)
def test_full_size_on_cuda(sizes) -> None:
    map_size, upsampled, crop, out = sizes
    probs = some_probs(20, map_size).cuda()
    kwargs = {'upsampled_size': upsampled, 'crop': crop, 'out_size': out, 'mask_thr': 0.5, 'byte_budget': 2**30}
    assert_same(full_size_masks(probs, **kwargs)[0], as_in_mmdet(probs, upsampled, crop, out), 0.5)


def test_resize_masks() -> None:
    probs = torch.rand(3, 4, 5)
    assert resize_masks(probs, size=(4, 5)) is probs
    want = F.interpolate(probs[:, None], size=(9, 7), mode='bilinear', align_corners=False)[:, 0]
    torch.testing.assert_close(resize_masks(probs, size=(9, 7)), want)
    assert resize_masks(probs[:0], size=(9, 7)).shape == (0, 9, 7)


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
