"""Windows of their own sizes against the masks of the CPU's forms and the definitions.

`test_window_kernels` runs this file again in Triton's interpreter, where the operators are kernels.
"""

import os

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import all_windows_to_rle, masks_to_rle, window_ops
from mmagg.ops.mask_paste import paste_masks, pasted_windows
from mmagg.ops.mask_resize import boxes_from_masks, full_size_masks, full_size_windows
from mmagg.ops.window_table import PackedWindows

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICES = ['cpu', *([] if INTERPRETED else [pytest.param('cuda', marks=pytest.mark.gpu)])]
BUDGETS = [8000] if INTERPRETED else [1, 8000, 2**30]
SIZES = [  # map, padded input, image in it, original image
    ((12, 16), (48, 64), (45, 61), (57, 66)),
    ((20, 15), (80, 60), (80, 57), (33, 21)),
    ((12, 16), (24, 32), (24, 32), (24, 32)),
    ((16, 12), (16, 12), (10, 12), (7, 9)),  # more than three neighbours
]
devices = pytest.mark.parametrize('device', DEVICES)


@pytest.fixture(autouse=True)
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_ops, 'fused', lambda device: True)


def some_probs(num: int, size: tuple[int, int]) -> torch.Tensor:
    """Soft ellipses of all sizes, noise, an empty mask and a full one."""
    y, x = (torch.arange(side) / side for side in size)
    centre, radius = torch.rand(2, num, 1), torch.rand(2, num, 1) * 0.6
    distance = (((y - centre[0]) / radius[0]) ** 2)[..., None] + (((x - centre[1]) / radius[1]) ** 2)[:, None]
    probs = (4 * (1 - distance)).sigmoid()
    probs[-3] = torch.rand(size)
    probs[-2], probs[-1] = 0, 1
    return probs


def some_boxes(num: int, out_size: tuple[int, int]) -> torch.Tensor:
    """Boxes of all sizes: below a pixel, inside, across the border, outside, larger than the image, upside down."""
    size = torch.tensor(out_size[::-1])
    corners = torch.rand(num, 2) * 1.6 * size - 0.5 * size
    boxes = torch.cat([corners, corners + size * 2 ** (torch.rand(num, 2) * 8 - 6.5)], 1)
    boxes[0] = boxes[0, [2, 3, 0, 1]]
    return boxes


def assert_same(masks: torch.Tensor, inside: torch.Tensor, soft: torch.Tensor, threshold: float) -> None:
    """Equal but where float32 rounding decides."""
    differs = masks != inside
    assert ((soft[differs] - threshold).abs() < 1e-6).all()
    assert differs.sum() <= 1e-4 * differs.numel()


def written(chunks: list[PackedWindows], shape: tuple[int, ...]) -> torch.Tensor:
    """Bitmaps of windows."""
    masks = torch.zeros(shape, dtype=torch.bool)
    for windows in chunks:
        pixels = windows.pixels.cpu().split(windows.places.areas.tolist())
        for own, index, left, top, height, width in zip(pixels, *map(torch.Tensor.tolist, windows.places), strict=True):
            masks[index, top : top + height, left : left + width] = own.view(height, width)
    return masks


@devices
@pytest.mark.parametrize('threshold', [0.5] if INTERPRETED else [0.5, 0.05])
@pytest.mark.parametrize('sizes', SIZES[::3] if INTERPRETED else SIZES)
def test_resized_masks(sizes: tuple, threshold: float, device: str) -> None:
    map_size, upsampled, crop, out = sizes
    probs = some_probs(9, map_size)
    soft = F.interpolate(probs[None], upsampled, mode='bilinear')[:, :, : crop[0], : crop[1]]
    soft = F.interpolate(soft, out, mode='bilinear')[0]
    options = dict(upsampled_size=upsampled, crop=crop, out_size=out, mask_thr=threshold)
    masks, boxes = full_size_masks(probs.to(device), **options, byte_budget=1)
    assert_same(masks.cpu(), soft > threshold, soft, threshold)
    assert torch.equal(boxes.cpu(), boxes_from_masks(masks.cpu()))
    for budget in BUDGETS:
        found = list(full_size_windows(probs.to(device), **options, byte_budget=budget))
        chunks = [windows for windows, _ in found]
        assert len(chunks) == {1: 9, 2**30: 1}.get(budget, len(chunks))
        assert torch.equal(written(chunks, masks.shape), masks.cpu())
        assert torch.equal(torch.cat([around for _, around in found]), boxes)
        assert all_windows_to_rle(chunks, out) == masks_to_rle(masks.cpu())


@devices
@pytest.mark.parametrize(('side', 'out', 'threshold'), [(14, (41, 40), 0.5), (5, (31, 49), 0.05), (1, (24, 17), 0.5)])
def test_pasted_masks(side: int, out: tuple[int, int], threshold: float, device: str) -> None:
    probs, boxes = torch.rand(12, side, side), some_boxes(12, out)
    probs[::3, :2] = 0.5  # where rounding decides, it is that of `F.grid_sample`
    x, y = (torch.arange(length) + 0.5 for length in reversed(out))
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    grid = torch.stack(
        [
            ((x - x1) / (x2 - x1) * 2 - 1)[:, None].expand(-1, *out),
            ((y - y1) / (y2 - y1) * 2 - 1)[..., None].expand(-1, *out),
        ],
        -1,
    )
    soft = F.grid_sample(probs[:, None], grid, padding_mode='zeros', align_corners=False)[:, 0]
    soft[0] = 0  # upside down
    options = dict(out_size=out, mask_thr=threshold)
    masks = paste_masks(probs.to(device), boxes.to(device), **options, byte_budget=1)
    assert_same(masks.cpu(), soft >= threshold, soft, threshold)
    for budget in BUDGETS:
        chunks = list(pasted_windows(probs.to(device), boxes.to(device), **options, byte_budget=budget))
        assert torch.equal(written(chunks, masks.shape), masks.cpu())
        assert all_windows_to_rle(chunks, out) == masks_to_rle(masks.cpu())


@devices
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_and_strides(dtype: torch.dtype, device: str) -> None:
    """Of maps: they are read as float32."""
    probs = (some_probs(6, (10, 10)) * 64).round() / 64
    odd = probs.to(device, dtype).mT.contiguous().mT
    options = dict(upsampled_size=(40, 40), crop=(37, 40), out_size=(21, 30), mask_thr=0.3, byte_budget=2**20)
    for got, want in zip(full_size_masks(odd, **options), full_size_masks(probs, **options), strict=True):
        assert torch.equal(got.cpu(), want)
    boxes = some_boxes(6, (21, 30))
    got = paste_masks(odd, boxes.to(device, torch.float64), out_size=(21, 30), mask_thr=0.3, byte_budget=1)
    assert torch.equal(got.cpu(), paste_masks(probs, boxes, out_size=(21, 30), mask_thr=0.3, byte_budget=1))


@devices
def test_nothing_to_compute(device: str) -> None:
    outside = torch.tensor([[-9.0, 2, -5, 6], [3, 3, 3, 9]], device=device)
    probs, options = torch.ones(2, 4, 4, device=device), dict(out_size=(5, 6), mask_thr=0.5, byte_budget=1)
    for n in (0, 2):
        assert paste_masks(probs[:n], outside[:n], **options).sum() == 0
        chunks = list(pasted_windows(probs[:n], outside[:n], **options))
        assert all_windows_to_rle(chunks, (5, 6)) == masks_to_rle(torch.zeros(n, 5, 6, dtype=torch.bool))
    options |= dict(upsampled_size=(8, 8), crop=(8, 8))
    assert [x.shape for x in full_size_masks(probs[:0], **options)] == [(0, 5, 6), (0, 4)]
    assert list(full_size_windows(probs[:0], **options)) == []


@pytest.mark.skipif(INTERPRETED, reason='the same')
def test_the_cpu_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own forms, bit for bit here."""
    probs, boxes = some_probs(30, (25, 40)), some_boxes(30, (90, 130))
    probs[::3, :2] = 0.4  # neighbours at the threshold
    resizing = dict(upsampled_size=(100, 160), crop=(96, 160), out_size=(90, 130), mask_thr=0.5, byte_budget=2**20)
    pasting = dict(out_size=(90, 130), mask_thr=0.4, byte_budget=2**20)
    ours = *full_size_masks(probs, **resizing), paste_masks(probs[:, :25, :25].contiguous(), boxes, **pasting)
    monkeypatch.setattr(window_ops, 'fused', lambda device: False)
    theirs = *full_size_masks(probs, **resizing), paste_masks(probs[:, :25, :25].contiguous(), boxes, **pasting)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
