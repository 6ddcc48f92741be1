"""Resizing: from mask probabilities at map size to binary masks at image size, in chunks.

Shape shorthand: N masks, n of them in a chunk, (h, w) map size, (H, W) image size; in a chunk, a × b pixels of the
image in each window, from p × q pixels of the maps.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops import window_ops
from mmagg.ops.bilinear import Taps, taps_of_two_resizes
from mmagg.ops.byte_budget import cached_budget, chunk_size
from mmagg.ops.mask_windows import MaskWindows, write_windows
from mmagg.ops.upload import upload
from mmagg.ops.window_table import PackedWindows, Places

CPU_SIZES, GPU_SIZES = 2, 8  # ratio of the sizes of windows in a chunk; on a GPU, calls cost more than pixels


def resize_masks(probs: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Bilinear resize (align_corners=False).

    Args:
        probs: (N, h, w).
        size: (H, W) wanted.

    Returns:
        (N, H, W); `probs` itself if it has that size already.
    """
    if probs.shape[1:] == tuple(size):
        return probs
    if len(probs) == 0:  # F.interpolate refuses
        return probs.new_zeros(0, *size)
    return F.interpolate(probs[None], size=tuple(size), mode='bilinear', align_corners=False)[0]


@torch.no_grad()
def full_size_masks(
    probs: Tensor,
    *,
    upsampled_size: tuple[int, int],
    crop: tuple[int, int],
    out_size: tuple[int, int],
    mask_thr: float,
    byte_budget: int,
) -> tuple[Tensor, Tensor]:
    """Binary masks of the original image, all at once, and boxes around them.

    Each mask is resized to the network's padded input, cropped to the image in it, resized to the original
    image and only then thresholded, as in mmdet's SOLO heads; in float32.

    Args:
        probs: (N, h, w) mask probabilities.
        upsampled_size: (height, width) of the padded network input.
        crop: (height, width) of the image in it, without the padding.
        out_size: (H, W) of the original image.
        mask_thr: threshold of a pixel's probability, exclusive.
        byte_budget: bytes of the tensors of a chunk of masks, beside the result; a chunk has at least one.

    Returns:
        (N, H, W) bool and (N, 4) float32, as of `boxes_from_masks`.
    """
    masks = torch.zeros(len(probs), *out_size, dtype=torch.bool, device=probs.device)
    sizes = dict(upsampled_size=upsampled_size, crop=crop, out_size=out_size)
    if window_ops.fused(probs.device) and len(probs):
        rows, columns = _taps(probs := probs.contiguous(), upsampled_size, crop, out_size)
        places = _places(probs, rows, columns, mask_thr)
        extents = torch.zeros(len(probs), 4, dtype=torch.int32, device=probs.device)
        window_ops.resized_windows(
            masks, extents, probs, rows, columns, *places.table(out_size, probs.device), mask_thr
        )
        return masks, _boxes(extents, out_size)
    boxes = torch.zeros(len(probs), 4, device=probs.device)
    for windows, around in full_size_windows(probs, **sizes, mask_thr=mask_thr, byte_budget=byte_budget):
        assert isinstance(windows, MaskWindows)
        write_windows(masks, windows)
        boxes[upload(windows.indices, boxes.device)] = around
    return masks, boxes


@torch.no_grad()
def full_size_windows(
    probs: Tensor,
    *,
    upsampled_size: tuple[int, int],
    crop: tuple[int, int],
    out_size: tuple[int, int],
    mask_thr: float,
    byte_budget: int,
) -> Iterator[tuple[MaskWindows | PackedWindows, Tensor]]:
    """The masks and boxes of `full_size_masks` (same arguments), as of `mapped_windows`."""
    if len(probs) == 0:
        return iter(())
    rows, columns = _taps(probs, upsampled_size, crop, out_size)
    return mapped_windows(probs, rows, columns, mask_thr=mask_thr, byte_budget=byte_budget)


@torch.no_grad()
def mapped_windows(
    probs: Tensor, rows: Taps, columns: Taps, *, mask_thr: float, byte_budget: int
) -> Iterator[tuple[MaskWindows | PackedWindows, Tensor]]:
    """Masks that are resized by linear maps whose weights sum to 1, as windows.

    Only the window of pixels that depend on a pixel of the map above the threshold is computed. There is one
    device-to-host copy in all.

    Args:
        probs: (N, h, w) mask probabilities, or logits.
        rows: the linear map of their rows to those of the image.
        columns: of their columns.
        mask_thr: threshold of a pixel, exclusive.
        byte_budget: bytes of the tensors of a chunk of masks; a chunk has at least one.

    Yields:
        chunks of windows, on the CPU not in the order of the masks, each of which is in one chunk, and the (n, 4) boxes
        of these.
    """
    if len(probs) == 0:
        return
    out_size = len(rows.start), len(columns.start)
    all_places = _places(probs, rows, columns, mask_thr)
    budget = cached_budget(byte_budget, probs.device)
    if window_ops.fused(probs.device):
        extents = torch.zeros(len(probs), 4, dtype=torch.int32, device=probs.device)
        for some in all_places.split(budget // window_ops.BYTES):
            windows = window_ops.packed(some, probs.device)
            window_ops.resized_windows(
                windows.pixels, extents, probs.contiguous(), rows, columns, windows.table, windows.tiles, mask_thr
            )
            yield windows, _boxes(extents[some.indices[0] : some.indices[-1] + 1], out_size)
        return
    _, left, top, height, width = all_places
    # The windows of a chunk are computed in one size: their heights round up to the same power of a base, as do widths.
    base = CPU_SIZES if probs.device.type == 'cpu' else GPU_SIZES
    powers = (torch.stack([height, width], 1).log() / math.log(base)).ceil()
    groups = []
    for power in powers.unique(dim=0):
        index = (powers == power).all(1).nonzero().squeeze(1)
        a, b = int(height[index].max()), int(width[index].max())
        y, x = top[index].clamp(max=out_size[0] - a), left[index].clamp(max=out_size[1] - b)
        below, p = _source(rows, y, a)
        right, q = _source(columns, x, b)
        groups.append((torch.stack([index, y, x, below, right]), a, b, p, q))
    uploaded = upload(torch.cat([places for places, *_ in groups], 1), probs.device)
    for (places, a, b, p, q), there in zip(groups, uploaded.split([x[0].shape[1] for x in groups], 1), strict=True):
        # Values, pixels and what encodes them; the maps, interpolated to columns, with a transpose; the maps, indexed.
        chunk = chunk_size((4 + 2) * a * b + 2 * 4 * b * p + (8 + 4) * p * q, budget)
        for (index, y, x, *_), part in zip(places.split(chunk, 1), there.split(chunk, 1), strict=True):
            values = _cut_out(probs, part[0], part[3], p, part[4], q)
            values = _interpolated(values, columns, part[4], part[2], b).mT
            values = _interpolated(values, rows, part[3], part[1], a)
            # In place and then to bool: four times as fast on the CPU as a comparison that changes the type.
            masks = values.gt_(mask_thr).bool()
            boxes = boxes_from_masks(masks)
            boxes += torch.stack([part[2], part[1], part[2], part[1]], 1) * (boxes[:, 2:3] > 0)
            yield MaskWindows(index, x, y, torch.full_like(x, a), masks.flatten(0, 1)), boxes


def _taps(
    probs: Tensor, upsampled_size: tuple[int, int], crop: tuple[int, int], out_size: tuple[int, int]
) -> Iterator[Taps]:
    """The linear maps of rows and of columns."""
    lengths = zip(probs.shape[1:], upsampled_size, crop, out_size, strict=True)
    return (taps_of_two_resizes(*each, probs.device) for each in lengths)


def _places(probs: Tensor, rows: Taps, columns: Taps, mask_thr: float) -> Places:
    """The windows, in the order of the masks."""
    if window_ops.fused(probs.device):
        extents = window_ops.mask_extents(probs.contiguous(), mask_thr).cpu()
        low_x, low_y, high_x, high_y = _boxes(extents, probs.shape[1:]).long().t().contiguous()
    else:
        above = (probs > mask_thr).view(torch.uint8)  # the maximum of bytes is many times as fast as `any`
        ends = [end for dim in (2, 1) for end in _extents(above.amax(dim))]
        low_y, high_y, low_x, high_x = torch.stack(ends).cpu()
    top, height = _reached(rows, low_y, high_y)
    left, width = _reached(columns, low_x, high_x)
    return Places(torch.arange(len(probs)), left, top, height, width)


def _boxes(extents: Tensor, size: Sequence[int]) -> Tensor:
    """(N, 4) float32 boxes of the extents (`mask_extents`) of masks of this size; zeros for empty masks."""
    lengths = upload([size[1], size[0], 0, 0], extents.device, dtype=torch.float32)
    return (lengths - extents).abs_().mul_(extents[:, :1] > 0)


def _reached(taps: Taps, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """First pixel of an axis that depends on the maps' pixels `low` to `high` (N,), and their number, at least 1."""
    first = torch.searchsorted(taps.start + taps.weight.shape[1], low, right=True).clamp(max=len(taps.start) - 1)
    return first, (torch.searchsorted(taps.start, high) - first).clamp(min=1)


def _source(taps: Taps, first: Tensor, num: int) -> tuple[Tensor, int]:
    """First pixels (n,) of the maps on which `num` pixels from `first` (n,) on depend, and their greatest number."""
    start = taps.start[first]
    count = int((taps.start[first + num - 1] - start).max()) + taps.weight.shape[1]
    return start.clamp(max=taps.length - count), count


def _cut_out(probs: Tensor, index: Tensor, below: Tensor, p: int, right: Tensor, q: int) -> Tensor:
    """Transposed maps (n, q, p) float32 of the masks `index` (n,), from the pixels `below` and `right` (n,) on."""
    y, x = (first[:, None] + torch.arange(num, device=probs.device) for first, num in ((below, p), (right, q)))
    place = (index[:, None, None] * probs.shape[1] + y[:, None]) * probs.shape[2] + x[..., None]
    return probs.flatten()[place].float()


def _interpolated(x: Tensor, taps: Taps, start: Tensor, first: Tensor, num: int) -> Tensor:
    """Maps (n, p, d), cut out from `start` (n,) on -> (n, num, d), the pixels from `first` (n,) on."""
    n, p, d = x.shape
    pixel = first[:, None] + torch.arange(num, device=x.device)
    behind = torch.arange(0, n * p, p, device=x.device) - start
    neighbours = taps.neighbours[pixel] + behind[:, None, None]
    table = x.contiguous().view(n * p, d)  # ten times as fast as with a transposed table
    weight = taps.weight[pixel].flatten(0, 1)
    x = F.embedding_bag(neighbours.flatten(0, 1), table, per_sample_weights=weight, mode='sum')
    return x.unflatten(0, (n, num))


def areas_and_sums(probs: Tensor, *, mask_thr: float, byte_budget: int) -> tuple[Tensor, Tensor]:
    """Area of masks and the sum of the probabilities inside.

    Args:
        probs: (N, h, w) mask probabilities.
        mask_thr: threshold of a pixel's probability, exclusive.
        byte_budget: bytes of the tensors of a chunk of masks; a chunk has at least one.

    Returns:
        (N,) float32 pixels and (N,) sums.
    """
    parts = []
    chunk = chunk_size(9 * probs[:1].numel(), cached_budget(byte_budget, probs.device))
    for soft in probs.split(chunk):
        binary = soft > mask_thr
        area = binary.view(torch.uint8).sum((1, 2), dtype=torch.int32).float()  # faster than of bools
        parts.append((area, (soft * binary).sum((1, 2))))
    if len(parts) == 1:
        return parts[0]
    areas, sums = (torch.cat(own) for own in zip(*parts, strict=True))
    return areas, sums


def boxes_from_masks(masks: Tensor) -> Tensor:
    """Tight boxes around masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, 4) float32 boxes x1, y1, x2, y2 in pixels, x2 and y2 exclusive; zeros for empty masks.
    """
    if 0 in masks.shape:  # amax and argmax refuse
        return torch.zeros(len(masks), 4, device=masks.device)
    pixels = masks.view(torch.uint8)  # the maximum of bytes is many times as fast as `any`
    (x1, x2), (y1, y2) = _extents(pixels.amax(1)), _extents(pixels.amax(2))
    return torch.stack([x1, y1, x2, y2], 1).float()


def _extents(lines: Tensor) -> tuple[Tensor, Tensor]:
    """(N, L) -> (N,) index of the first non-zero element, and (N,) that behind the last; 0 and 0 without any."""
    lines = lines.int()
    return lines.argmax(1), (lines.shape[1] - lines.flip(1).argmax(1)) * lines.amax(1)
