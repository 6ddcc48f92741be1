"""Where the runs of masks end, found where the masks are: far less is copied from a GPU than their pixels.

Shape shorthand: n windows of a chunk, R rows of all of them one below the other, w columns, (H, W) image size.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mmagg.ops.mask_windows import MaskWindows
from mmagg.ops.upload import upload
from mmagg.ops.window_ops import window_borders
from mmagg.ops.window_table import PackedWindows, Places, before


def vertical_borders(windows: MaskWindows) -> Tensor:
    """The pixels at which a column changes, going down.

    Returns:
        (R + n', w) bool, where the windows are: whether a pixel differs from the one above, outside its window 0; then,
        of the n' windows with rows, their last row: whether the one below differs.
    """
    rows, start, stop = windows.rows, *_rows_of(windows)
    first, last = upload(torch.stack([start, stop - 1]), rows.device)
    above = rows.roll(1, 0).index_fill_(0, first, False)
    return torch.cat([rows != above, rows[last]])


def run_ends(chunks: Sequence[MaskWindows | PackedWindows], size: tuple[int, int]) -> list[Tensor]:
    """The ends of the runs of masks in the order of COCO's RLE, column by column, with two waits for a GPU in all.

    Args:
        chunks: the masks, in several tensors of windows.
        size: (H, W).

    Returns:
        for each window of all chunks its ends, ascending, long: the x · H + y at which a run ends and another starts.
    """
    if not chunks:
        return []
    packed = [windows for windows in chunks if isinstance(windows, PackedWindows)]
    owner, end = _of_packed(packed, size) if packed else _of_equally_wide(chunks, size)  # type: ignore[arg-type]
    area, num = size[0] * size[1] + 1, sum(len(windows.indices) for windows in chunks)
    # Where a run goes on from the bottom of a column at the top of the next one, it does not end.
    end, times = (owner * area + end).unique(return_counts=True)
    end = end[times == 1]
    bounds = torch.searchsorted(end, torch.arange(num + 1) * area).tolist()
    return [end[first:last] - i * area for i, (first, last) in enumerate(pairwise(bounds))]


def _found(borders: Sequence[Tensor]) -> Tensor:
    """The places of borders, on the CPU, counted over all of them."""
    return (torch.cat(list(borders)) if len(borders) > 1 else borders[0]).nonzero().squeeze(1).cpu()


def _of_packed(chunks: Sequence[PackedWindows], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Window and x · H + y of each border."""
    found = _found([window_borders(windows) for windows in chunks])
    places = Places(*(torch.cat(x) for x in zip(*(windows.places for windows in chunks), strict=True)))
    first = before(places.borders)
    owner = torch.searchsorted(first, found, right=True) - 1
    inside, width = found - first[owner], places.width[owner]
    return owner, (places.left[owner] + inside % width) * size[0] + places.top[owner] + inside // width


def _of_equally_wide(chunks: Sequence[MaskWindows], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Window and x · H + y of each border."""
    borders = [vertical_borders(windows).flatten() for windows in chunks]
    found = _found(borders)
    # Of each line of borders: where it starts in them, its window, and its first pixel.
    lines, lines_before, windows_before = [], 0, 0
    for windows, border in zip(chunks, borders, strict=True):
        own, y = _lines(windows)
        start = lines_before + torch.arange(len(own)) * windows.rows.shape[1]
        lines.append(torch.stack([start, own + windows_before, windows.left[own] * size[0] + y]))
        lines_before, windows_before = lines_before + len(border), windows_before + len(windows.height)
    start, owner, pixel = torch.cat(lines, 1)
    line = torch.searchsorted(start, found, right=True) - 1
    return owner[line], pixel[line] + (found - start[line]) * size[0]


def _rows_of(windows: MaskWindows) -> tuple[Tensor, Tensor]:
    """First row of each window that has any, and the row after its last one, among all rows."""
    stop = windows.height.cumsum(0)
    there = windows.height > 0
    return (stop - windows.height)[there], stop[there]


def _lines(windows: MaskWindows) -> tuple[Tensor, Tensor]:
    """Window and image row of each line of `vertical_borders`."""
    num = torch.arange(len(windows.height))
    own = num.repeat_interleave(windows.height)
    y = torch.arange(len(own)) - (windows.height.cumsum(0) - windows.height - windows.top)[own]
    there = windows.height > 0
    return torch.cat([own, num[there]]), torch.cat([y, (windows.top + windows.height)[there]])
