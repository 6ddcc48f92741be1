"""RoIPool (Fast R-CNN, Sec. 2.1) in plain torch, also for the CPU, where mmcv has none.

Shape shorthand: B images, N RoIs, C channels, (H, W) map size, S bins along each side; G sequences of L places
with D features each, of which N × S ranges are asked for.
"""

import torch
from torch import Tensor

from mmagg.ops.byte_budget import cached_budget, chunk_size


def roi_pool(x: Tensor, rois: Tensor, *, size: int, scale: float, byte_budget: int = 64 * 2**20) -> Tensor:
    """The maximum over each of S x S bins of a RoI.

    A RoI's corners are rounded to cells of the map, half away from zero, and both belong to it. A bin has all the cells
    it touches; a bin outside the map is 0. The gradient goes to the first of equal maxima, row by row, and is summed in
    float32 at least.

    The maximum over a rectangle is one along x, then one along y. Ranges are composed of ranges of 1, 2, 4 … cells, so
    that the sizes of the boxes need not be known on the CPU.

    Args:
        x: (B, C, H, W) feature map.
        rois: (N, 5) image index and x1, y1, x2, y2 in pixels of the input.
        size: S.
        scale: cells of the map per pixel of the input, 1 / stride.
        byte_budget: bytes of the search for the maxima of a chunk of RoIs; a chunk has at least one.

    Returns:
        (N, C, S, S) in the dtype of `x`.
    """
    _, channels, height, width = x.shape
    image = rois[:, 0].long()
    # Values and places, the best and the candidates, each twice, since the axes are swapped.
    bytes_per_roi = 4 * (x.element_size() + 4) * channels * size * (height + size)
    chunk = chunk_size(bytes_per_roi, cached_budget(byte_budget, x.device))
    columns = _bins(rois[:, 1].float(), rois[:, 3].float(), size, scale, width)
    rows = _bins(rois[:, 2].float(), rois[:, 4].float(), size, scale, height)
    parts = zip(image.split(chunk), columns.split(chunk), rows.split(chunk), strict=True)
    place = torch.cat([_places_of_maxima(x, *part) for part in parts])  # (N, C, S, S)

    of_map = (image[:, None] * channels + torch.arange(channels, device=x.device)) * (height * width)
    values = x.to(torch.promote_types(x.dtype, torch.float32)).flatten()[of_map[..., None, None] + place]
    inside = (rows[..., 1] > rows[..., 0])[:, None, :, None] & (columns[..., 1] > columns[..., 0])[:, None, None]
    return values.where(inside, 0).to(x.dtype)


def _bins(low: Tensor, high: Tensor, size: int, scale: float, length: int) -> Tensor:
    """The bins' cells of an axis: (N,) corners -> (N, S, 2) long, the first cell and that after the last."""
    first, last = _round(low * scale), _round(high * scale)
    bin_size = ((last - first + 1).clamp(min=1) / size)[:, None]
    index = torch.arange(size, device=low.device)
    ranges = torch.stack([(index * bin_size).floor(), ((index + 1) * bin_size).ceil()], -1)
    return (ranges + first[:, None, None]).clamp(0, length).long()


def _round(x: Tensor) -> Tensor:
    """Round half away from zero (`torch.round` rounds half to even)."""
    whole = x.trunc()
    return whole + x.sign() * ((x - whole).abs() >= 0.5)


@torch.no_grad()
def _places_of_maxima(x: Tensor, image: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """(N, C, S, S) long index in its map (H · W) of the first maximum of each bin; 0 for empty bins."""
    _, channels, height, width = x.shape
    num, size, _ = columns.shape
    values = x.permute(0, 3, 2, 1).flatten(2)  # (B, W, H · C)
    place = torch.arange(width, dtype=torch.int32, device=x.device)[None, :, None].expand_as(values)
    values, place = _range_maxima(values, place, image, columns)

    place = place.view(num, size, height, channels)
    place = place + width * torch.arange(height, dtype=torch.int32, device=x.device)[:, None]
    values, place = (
        y.view(num, size, height, channels).transpose(1, 2).flatten(2) for y in (values, place)
    )  # (N, H, S · C)
    _, place = _range_maxima(values, place, torch.arange(num, device=x.device), rows)
    return place.view(num, size, size, channels).permute(0, 3, 1, 2).long()


def _range_maxima(values: Tensor, place: Tensor, sequence: Tensor, ranges: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima over ranges of sequences, and the `place` of the first of equal ones.

    Args:
        values: (G, L, D).
        place: (G, L, D).
        sequence: (N,) index of the sequence.
        ranges: (N, S, 2) first index, and that after the last.

    Returns:
        (N, S, D) and (N, S, D); -inf and 0 for empty ranges.
    """
    at, length = ranges[..., 0], ranges[..., 1] - ranges[..., 0]
    best = values.new_full((*at.shape, values.shape[2]), -torch.inf)
    best_place = place.new_zeros(best.shape)
    for bit in range(values.shape[1].bit_length()):
        step = 1 << bit
        if bit:  # entries stand for `step` places from here on
            half = step // 2
            later = values[:, half:] > values[:, :-half]
            values = torch.where(later, values[:, half:], values[:, :-half])
            place = torch.where(later, place[:, half:], place[:, :-half])
        here = sequence[:, None], at.clamp(max=values.shape[1] - 1)
        takes = (length & step) > 0
        candidates = values[here]
        better = (candidates > best) & takes[..., None]
        best = torch.where(better, candidates, best)
        best_place = torch.where(better, place[here], best_place)
        at = at + step * takes
    return best, best_place
