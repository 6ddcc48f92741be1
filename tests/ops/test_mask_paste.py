"""Pasted masks against `F.grid_sample` of the whole image, mmdet's pasting and the golden case."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import masks_to_rle, paste_masks, pasted_windows, windows_to_rle, write_windows
from mmagg.ops.mask_paste import _chunks

BUDGET = 64 * 2**20


def random_boxes(num: int, out_size: tuple[int, int]) -> torch.Tensor:
    """Boxes of all sizes: below a pixel, inside, across the border, outside, larger than the image."""
    size = torch.tensor(out_size[::-1])
    extents = size * 2 ** (torch.rand(num, 2) * 8 - 6.5)
    corners = torch.rand(num, 2) * 1.6 * size - 0.5 * size
    return torch.cat([corners, corners + extents], 1)


def sampled(probs: torch.Tensor, boxes: torch.Tensor, out_size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) probabilities: every pixel's centre sampled, no windows."""
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    x = (torch.arange(out_size[1]) + 0.5 - x1) / (x2 - x1) * 2 - 1
    y = (torch.arange(out_size[0]) + 0.5 - y1) / (y2 - y1) * 2 - 1
    shape = (len(probs), *out_size)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], -1)
    return F.grid_sample(probs[:, None].float(), grid, padding_mode='zeros', align_corners=False)[:, 0]


def assert_same(masks: torch.Tensor, soft: torch.Tensor, mask_thr: float) -> None:
    """Equal but where float32 rounding decides."""
    assert masks.dtype == torch.bool
    differs = masks != (soft >= mask_thr)
    assert ((soft[differs] - mask_thr).abs() < 1e-6).all()
    assert differs.sum() <= 1e-5 * differs.numel()


@pytest.mark.parametrize('byte_budget', [1, 20_000, BUDGET])
@pytest.mark.parametrize(
    ('side', 'out_size', 'mask_thr'),
    [(56, (71, 99), 0.5), (28, (40, 33), 0.3), (5, (61, 200), 0.05), (1, (24, 17), 0.5), (28, (1, 50), 0.4)],
)
def test_equals_grid_sample(side: int, out_size: tuple[int, int], mask_thr: float, byte_budget: int) -> None:
    probs, boxes = torch.rand(60, side, side), random_boxes(60, out_size)
    soft = sampled(probs, boxes, out_size)
    assert 0 < (soft >= mask_thr).sum() < soft.numel() / 2
    masks = paste_masks(probs, boxes, out_size=out_size, mask_thr=mask_thr, byte_budget=byte_budget)
    assert_same(masks, soft, mask_thr)


def test_equals_mmdet() -> None:
    head = pytest.importorskip('mmdet.models.roi_heads.mask_heads.fcn_mask_head')
    probs, boxes = torch.rand(40, 28, 28), random_boxes(40, (90, 121))
    soft, _ = head._do_paste_mask(probs[:, None], boxes, 90, 121, skip_empty=False)
    masks = paste_masks(probs, boxes, out_size=(90, 121), mask_thr=0.5, byte_budget=BUDGET)
    assert_same(masks, soft, 0.5)


def test_golden(shared) -> None:
    roi_align = pytest.importorskip('mmcv.ops').roi_align
    case = torch.load(shared / 'golden/blendmask/blender_test_56_4_14.pt', weights_only=True)
    height, width = case['out_hw'].tolist()
    want = torch.from_numpy(np.unpackbits(case['masks_bits'].numpy(), axis=-1)[..., :width]).bool()
    assert want.any((1, 2)).all()
    # The probabilities in full precision; the stored ones are rounded.
    rois = torch.cat([case['box_img'][:, None], case['boxes']], 1)
    bases = roi_align(case['bases'], rois, (56, 56), 0.25, 1, 'avg', True)
    attention = F.interpolate(case['attn'].view(-1, 4, 14, 14), (56, 56), mode='bilinear').softmax(1)
    probs = (bases * attention).sum(1).sigmoid()
    torch.testing.assert_close(probs, case['probs'].float(), rtol=0, atol=1e-3)

    masks = paste_masks(probs, case['out_boxes'], out_size=(height, width), mask_thr=0.5, byte_budget=BUDGET)
    assert (probs == 0.5).any()
    assert torch.equal(masks, want)


@pytest.mark.parametrize('byte_budget', [1, 30_000, BUDGET])
def test_chunks_have_each_mask_once(byte_budget: int) -> None:
    probs, boxes = torch.rand(50, 14, 14), random_boxes(50, (37, 45))
    kwargs = {'out_size': (37, 45), 'mask_thr': 0.5, 'byte_budget': byte_budget}
    want = paste_masks(probs, boxes, **kwargs)
    got = torch.zeros_like(want)
    seen = torch.zeros(50, dtype=torch.long)
    for windows in pasted_windows(probs, boxes, **kwargs):
        assert windows.indices.dtype == torch.long
        assert byte_budget > 1 or len(windows.indices) == 1 or windows.rows.numel() == 0
        write_windows(got, windows)
        seen[windows.indices] += 1
    assert (seen == 1).all()
    assert torch.equal(got, want)


def test_chunks_are_under_the_budget_and_of_similar_width() -> None:
    boxes, probs = random_boxes(300, (300, 400)), torch.rand(300, 28, 28)
    probs[::3, 5, 5:7] = 0.5
    budget = 2**20
    chunks = list(_chunks(probs, boxes, (300, 400), 0.5, byte_budget=budget))
    assert torch.cat([chunk.indices for chunk in chunks]).sort().values.tolist() == list(range(300))
    for chunk in chunks:
        assert (chunk.indices % 3 == 0).eq(chunk.tied).all()
        floats = (4 if chunk.tied else 2) * chunk.width * chunk.num_rows
        assert len(chunk.indices) == 1 or 4 * floats <= budget
    # Cells around the box fade out over half a cell, on both sides.
    low, high = (boxes[:, :2], boxes[:, 2:])
    size = (high + (high - low) / 56 + 1).minimum(torch.tensor([400, 300])) - (low - (high - low) / 56 - 1).clamp(0)
    reached = size.clamp(0).prod(1).sum()
    assert sum(chunk.width * chunk.num_rows for chunk in chunks) < 1.6 * reached


def test_boxes_without_an_area_give_empty_masks() -> None:
    inf, nan = math.inf, math.nan
    boxes = torch.tensor(
        [
            [5.0, 5, 5, 20],
            [5.5, 5, 5.5, 20],
            [5, 5, 20, 5],
            [20, 5, 5, 20],
            [-30, 0, -10, 20],
            [0, 100, 20, 120],
            [0, 0, inf, 20],
            [-inf, 0, inf, 20],
            [nan, 0, 10, 20],
            [5, 5, 25, 25],
        ]
    )
    masks = paste_masks(torch.ones(10, 7, 7), boxes, out_size=(30, 40), mask_thr=0.4, byte_budget=BUDGET)
    assert masks.sum((1, 2)).tolist() == [0] * 9 + [400]
    (only,) = pasted_windows(torch.ones(1, 7, 7), boxes[:1], out_size=(30, 40), mask_thr=0.5, byte_budget=BUDGET)
    assert only.rows.numel() == 0
    assert windows_to_rle(only, (30, 40)) == masks_to_rle(torch.zeros(1, 30, 40, dtype=torch.bool))


def test_a_full_mask_fills_its_box() -> None:
    box = torch.tensor([[3.0, 2, 11, 7]])
    (mask,) = paste_masks(torch.ones(1, 28, 28), box, out_size=(9, 13), mask_thr=0.6, byte_budget=BUDGET)
    want = torch.zeros(9, 13, dtype=torch.bool)
    want[2:7, 3:11] = True
    assert torch.equal(mask, want)


def test_cells_at_the_threshold_are_rounded_as_four_products() -> None:
    """As in `F.grid_sample`, here in NumPy: with logits of 0 all around, that is all that decides."""
    probs = torch.full((2, 28, 28), 0.5)
    probs[1, ::7] = 1
    boxes = torch.tensor([[0.0, 40.2, 61.1, 150], [-7.3, -9.9, 201.7, 170.2]])
    want = []
    for mask, box in zip(probs.numpy(), boxes.numpy(), strict=True):
        cells = np.pad(mask, 1)
        axes = []
        for low, high, length in ((box[0], box[2], 200), (box[1], box[3], 150)):
            at = (np.arange(length, dtype=np.float32) + np.float32(0.5) - low) / (high - low) * 2 - 1
            at = ((at + 1) * 28 - 1) / 2
            cell, after = np.floor(at), at - np.floor(at)
            out = (at <= -1) | (at >= 28)
            axes.append((np.where(out, -1, cell).astype(int) + 1, np.where(out, 0, 1 - after), np.where(out, 0, after)))
        (x, e, w), (y, s, n) = axes[0], (part[:, None] for part in axes[1])
        value = cells[y, x] * (e * s) + cells[y, x + 1] * (w * s)
        value = value + cells[y + 1, x] * (e * n) + cells[y + 1, x + 1] * (w * n)
        assert value.dtype == np.float32
        want.append(value >= np.float32(0.5))
    want = torch.from_numpy(np.stack(want))
    masks = paste_masks(probs, boxes, out_size=(150, 200), mask_thr=0.5, byte_budget=BUDGET)
    assert torch.equal(masks, want)
    assert 0 < (~want[1, 5:-5, 5:-5]).sum() < 5000  # the plateau, less what rounding takes from it


def test_a_value_is_interpolated_between_cells() -> None:
    """One cell of 1, in a box of ten pixels a cell: a tent, 1 at the cell's centre and 0 at its neighbours'."""
    probs = torch.zeros(1, 3, 3)
    probs[0, 1, 1] = 1
    box = torch.tensor([[5.0, 5, 35, 35]])
    distance = (torch.arange(40) + 0.5 - 20).abs() / 10
    tent = (1 - distance).clamp(0)
    for mask_thr in (0.07, 0.33, 0.81):
        (mask,) = paste_masks(probs, box, out_size=(40, 40), mask_thr=mask_thr, byte_budget=BUDGET)
        assert torch.equal(mask, tent[:, None] * tent >= mask_thr)


def test_threshold_zero_takes_all() -> None:
    boxes = random_boxes(4, (20, 30))
    assert paste_masks(torch.rand(4, 7, 7), boxes, out_size=(20, 30), mask_thr=0, byte_budget=BUDGET).all()


def test_no_masks() -> None:
    kwargs = {'out_size': (20, 30), 'mask_thr': 0.5, 'byte_budget': BUDGET}
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), **kwargs).shape == (0, 20, 30)
    assert list(pasted_windows(torch.zeros(0, 28, 28), torch.zeros(0, 4), **kwargs)) == []


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_samples_in_float32_whatever_the_input(dtype: torch.dtype) -> None:
    probs, boxes = torch.rand(20, 28, 28, requires_grad=True).to(dtype), random_boxes(20, (60, 80))
    kwargs = {'out_size': (60, 80), 'mask_thr': 0.5, 'byte_budget': BUDGET}
    want = paste_masks(probs.float(), boxes, **kwargs)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(paste_masks(probs, boxes, **kwargs), want)


@pytest.mark.gpu
def test_on_cuda() -> None:
    probs, boxes = torch.rand(60, 28, 28), random_boxes(60, (71, 99))
    masks = paste_masks(probs.cuda(), boxes.cuda(), out_size=(71, 99), mask_thr=0.5, byte_budget=BUDGET)
    assert_same(masks.cpu(), sampled(probs, boxes, (71, 99)), 0.5)
