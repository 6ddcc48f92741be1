"""Pasting: from masks in the frames of boxes to binary masks of the image.

Shape shorthand: N masks, n of them in a chunk, r side of a mask, (H, W) image size, w widest window of a chunk,
R rows of all windows of a chunk, one below the other.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from operator import neg
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops import window_ops
from mmagg.ops.byte_budget import cached_budget
from mmagg.ops.mask_resize import CPU_SIZES, GPU_SIZES
from mmagg.ops.mask_windows import MaskWindows, places_of_rows, write_pixels, write_windows, writer
from mmagg.ops.window_ops import place
from mmagg.ops.window_table import PackedWindows, Places

ROW_BYTES = 2 * 4  # a pixel of a window: in the two rows that it lies between
CELL_BYTES = 3 * 4  # a cell of a mask stretched to its window's width: in two columns, and their transpose
PLACE_BYTES = 8  # a pixel's index, where pixels are written one by one
MASK_BYTES = 2  # a pixel of the binary window, and what encodes it


class Chunk(NamedTuple):
    """Masks with windows of similar width. A window is the part of the image that a mask covers."""

    on_host: Tensor
    """(4, n) `indices`, `left`, `top` and `height`, on the CPU."""
    indices: Tensor
    """(n,) indices of the masks."""
    boxes: Tensor
    """(n, 4) float32 x1, y1, x2, y2."""
    left: Tensor
    """(n,) first column of each window."""
    top: Tensor
    """(n,) first row."""
    height: Tensor
    """(n,) number of rows; 0 for a mask outside the image."""
    width: int
    """w, columns to compute in all windows."""
    num_rows: int
    """R, the sum of `height`."""
    tied: bool
    """True if the masks have neighbouring cells that are exactly at the threshold."""


@torch.no_grad()
def paste_masks(
    probs: Tensor, boxes: Tensor, *, out_size: tuple[int, int], mask_thr: float, byte_budget: int
) -> Tensor:
    """Binary masks of the image from masks in the frames of boxes, all at once.

    Each pixel samples the mask at its centre, as `F.grid_sample(padding_mode='zeros', align_corners=False)` does. As
    boxes are axis-aligned, this is an interpolation of columns, then of rows. Only the window of the image that a mask
    covers is computed, in float32.

    Args:
        probs: (N, r, r) mask probabilities.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the image, also beyond it; without a positive, finite width and height
            the mask is zero.
        out_size: (H, W) of the image.
        mask_thr: threshold of a pixel's probability, inclusive.
        byte_budget: bytes of the tensors of a chunk of masks, beside the result; a chunk has at least one.

    Returns:
        (N, H, W) bool.
    """
    masks = torch.full((len(probs), *out_size), mask_thr <= 0, device=probs.device)
    if window_ops.fused(probs.device):
        boxes = boxes.float().contiguous()
        table = _places(boxes, probs.shape[-1], out_size).table(out_size, probs.device)
        window_ops.pasted_windows(masks, probs.contiguous(), boxes, *table, mask_thr)
        return masks
    for windows in pasted_windows(probs, boxes, out_size=out_size, mask_thr=mask_thr, byte_budget=byte_budget):
        assert isinstance(windows, MaskWindows)
        write_windows(masks, windows)
    return masks


@torch.no_grad()
def pasted_windows(
    probs: Tensor, boxes: Tensor, *, out_size: tuple[int, int], mask_thr: float, byte_budget: int
) -> Iterator[MaskWindows | PackedWindows]:
    """The masks of `paste_masks` (same arguments) for a positive `mask_thr`, as windows.

    Yields:
        chunks of windows, not in the order of the masks, each of which is in one chunk.
    """
    if window_ops.fused(probs.device):
        boxes = boxes.float().contiguous()
        for places in _places(boxes, probs.shape[-1], out_size).split(byte_budget // window_ops.BYTES):
            packed = window_ops.packed(places, probs.device)
            window_ops.pasted_windows(packed.pixels, probs.contiguous(), boxes, packed.table, packed.tiles, mask_thr)
            yield packed
        return
    for chunk in _chunks(probs, boxes, out_size, mask_thr, byte_budget=byte_budget):
        most = out_size[1] - chunk.width
        indices, left, top, height = chunk.on_host
        rows = _rows(probs, chunk, chunk.left.clamp(max=most), mask_thr)
        yield MaskWindows(indices, left.clamp(max=most), top, height, rows)


def _chunks(
    probs: Tensor, boxes: Tensor, out_size: tuple[int, int], mask_thr: float, *, byte_budget: int
) -> Iterator[Chunk]:
    """Split masks into chunks under the budget, the widest windows first; one device-to-host copy in all."""
    side, boxes = probs.shape[-1], boxes.float()
    left, top, height, width = _windows(boxes, side, out_size)
    at_threshold = probs.float() == mask_thr
    ties = (at_threshold[..., 1:] & at_threshold[..., :-1]).flatten(1).any(1)
    key = width + (out_size[1] + 1) * ties  # those with ties come first
    order = key.argsort(descending=True)
    boxes, left, top, height = (x[order] for x in (boxes, left, top, height))
    on_host = torch.stack([order, left, top, height, width[order], key[order]]).cpu()
    heights, widths, keys = on_host[3:].tolist()
    tied = [k > out_size[1] for k in keys]
    rows_before = list(accumulate(heights, initial=0))
    pixel_bytes = MASK_BYTES + PLACE_BYTES * (writer(boxes.device) is write_pixels)
    column_bytes = (
        (pixel_bytes + ROW_BYTES * (1 + two)) * rows + CELL_BYTES * (1 + two) * (side + 2)
        for rows, two in zip(heights, tied, strict=True)
    )
    bytes_before = list(accumulate(column_bytes, initial=0))
    budget = cached_budget(byte_budget, boxes.device)
    idle = 1 - 1 / (CPU_SIZES if boxes.device.type == 'cpu' else GPU_SIZES)  # share of a window's columns
    start = 0
    while start < len(widths):

        def num_bytes(stop: int, start: int = start) -> int:
            return widths[start] * (bytes_before[stop] - bytes_before[start])

        within_budget = start + bisect_right(range(start + 1, len(widths) + 1), budget, key=num_bytes)
        similar = bisect_right(keys, widths[start] * idle - keys[start], key=neg)  # ties are apart
        part = slice(start, max(start + 1, min(within_budget, similar)))
        rows = rows_before[part.stop] - rows_before[start]
        there = order[part], boxes[part], left[part], top[part], height[part]
        yield Chunk(on_host[:4, part], *there, widths[start], rows, tied[start])
        start = part.stop


def _places(boxes: Tensor, side: int, out_size: tuple[int, int]) -> Places:
    """The windows of masks in boxes; one device-to-host copy."""
    return Places(torch.arange(len(boxes)), *_windows(boxes.cpu(), side, out_size))


def _windows(boxes: Tensor, side: int, out_size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(N,) long left, top, height and width of the windows of masks in boxes; no height and width outside the image."""
    left, width = _span(boxes[:, 0], boxes[:, 2], side, out_size[1])
    top, height = _span(boxes[:, 1], boxes[:, 3], side, out_size[0])
    reaches = (width > 0) & (height > 0)
    return left, top, height * reaches, width * reaches


def _span(low: Tensor, high: Tensor, side: int, length: int) -> tuple[Tensor, Tensor]:
    """First pixel of an axis that a mask covers, and their number; both (N,) long."""
    extent = high - low
    reach = extent / (2 * side) + 0.5  # half a cell around the box fades to zero
    first = (low - reach).floor().clamp(0, length)
    last = (high + reach).ceil().clamp(0, length)
    valid = (extent > 0) & extent.isfinite()
    return first.where(valid, 0).long(), (last - first).where(valid, 0).long()


def _rows(probs: Tensor, chunk: Chunk, left: Tensor, mask_thr: float) -> Tensor:
    """The rows (R, w) of the windows of a chunk that begin at the columns `left` (n,)."""
    num, side, device = len(left), probs.shape[-1], probs.device
    if chunk.num_rows == 0:
        return torch.zeros(0, chunk.width, dtype=torch.bool, device=device)
    x1, y1, x2, y2 = chunk.boxes[..., None].unbind(1)  # (n, 1) each
    mask, y = places_of_rows(chunk.top, chunk.height, chunk.num_rows)
    x = left[:, None] + torch.arange(chunk.width, device=device)  # (n, w)

    cells = F.pad(probs[chunk.indices].float(), (1, 1, 1, 1))  # the zeros around; (n, r + 2, r + 2)
    first = torch.arange(num, device=device) * (side + 2)
    sample = _products if chunk.tied else _interpolated
    cell, after = place(x, x1, x2, side)
    columns = sample([cells.mT.flatten(0, 1)], (first[:, None] + cell).flatten(), after.flatten())
    columns = [some.unflatten(0, (num, -1)).mT.flatten(0, 1) for some in columns]  # (n · (r + 2), w)
    cell, after = place(y, y1[mask, 0], y2[mask, 0], side)
    values, *others = sample(columns, first[mask] + cell, after)  # (R, w)
    for other in others:
        values.add_(other)
    # In place and then to bool: four times as fast on the CPU as a comparison that changes the type.
    return values.ge_(mask_thr).bool()


def _interpolated(tables: list[Tensor], index: Tensor, after: Tensor) -> list[Tensor]:
    """Linear interpolation in each table (M, D) at `index + after`, (L,) each -> (L, D)."""
    return [rows.index_select(0, index).lerp_(rows.index_select(0, index + 1), after[:, None]) for rows in tables]


def _products(tables: list[Tensor], index: Tensor, after: Tensor) -> list[Tensor]:
    """The terms of `_interpolated` instead of their sums, which are added up after both axes, as in `F.grid_sample`.

    Its rounding decides which pixels are inside where neighbouring cells are at the threshold, as with logits of 0: a
    box beyond the feature map.
    """
    weights = enumerate((1 - after, after))
    return [rows.index_select(0, index + i).mul_(weight[:, None]) for i, weight in weights for rows in tables]
