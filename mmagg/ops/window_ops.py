"""Operators that compute binary masks in windows of their own sizes: a launch each for all windows.

On CUDA they are Triton kernels (`window_kernels`); their forms in PyTorch here say what those compute, and stand in for
them where a GPU is pretended. The CPU has faster forms in `mask_resize`, `mask_paste` and `run_ends`.

Shape shorthand: N masks, n windows with a row each of a table (`window_table`), P pixels of all, (h, w) map size,
r side of a mask in its box, (H, W) image size, K taps of an axis.
"""

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from mmagg.ops.bilinear import Taps
from mmagg.ops.reassembly_choice import triton_problem
from mmagg.ops.window_table import PackedWindows, Places

BYTES = 2  # of a pixel: its value, and whether it differs from the one above


def fused(device: torch.device) -> bool:
    """Whether windows are computed by these operators: on CUDA, if Triton's kernels run there."""
    return device.type == 'cuda' and failure(device.index) is None


@cache
def failure(index: int | None) -> str | None:
    """The reason why the kernels fail on a GPU, where one is tried at the first use; None if they do not."""
    try:
        device = torch.device('cuda', torch.cuda.current_device() if index is None else index)
        extents = mask_extents(torch.full((1, 2, 3), 3.0, device=device), 0.5)
        return None if extents.tolist() == [[3, 2, 3, 2]] else 'their kernel computes nonsense'
    except Exception as error:  # no Triton, no C compiler, no Python headers, a GPU or a Triton that is too old, ...
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        return f'their kernel does not run ({reason}); it needs a C compiler and Triton 3.4 or newer'


def backends() -> str:
    """The backend that runs on this machine, in words."""
    problem = failure(None) if torch.cuda.is_available() else triton_problem()
    return f'torch on the CPU, {f"torch on CUDA (not triton: {problem})" if problem else "triton on CUDA"}'


def packed(places: Places, device: torch.device) -> PackedWindows:
    """Windows whose pixels are not computed yet."""
    table, tiles = places.table(None, device)
    return PackedWindows(
        places, torch.empty(int(places.areas.sum()), dtype=torch.bool, device=device), table, tiles
    )  # fmt: skip


def mask_extents(probs: Tensor, threshold: float) -> Tensor:
    """The extents of masks: maps (N, h, w) and a threshold, exclusive -> (N, 4) int.

    The greatest w - x, h - y, x + 1 and y + 1 of the pixels (x, y) above the threshold; zeros without any.
    """
    extents = torch.zeros(len(probs), 4, dtype=torch.int32, device=probs.device)
    torch.ops.mmagg.mask_extents(extents, probs, threshold)
    return extents


def resized_windows(
    out: Tensor, extents: Tensor, probs: Tensor, rows: Taps, columns: Taps, table: Tensor, tiles: int, threshold: float
) -> None:
    """Write windows of resized masks.

    Args:
        out: bool, of any shape, contiguous; written where the table says.
        extents: (N, 4) int of the masks in the image, see `mask_extents`; raised to those of what is written.
        probs: (N, h, w) maps, contiguous.
        rows: the linear map of their rows to those of the image.
        columns: of their columns.
        table: of the windows.
        tiles: their number.
        threshold: of a pixel's probability, exclusive.
    """
    taps = rows.neighbours, rows.weight, columns.neighbours, columns.weight
    torch.ops.mmagg.resized_windows(out, extents, probs, *taps, table, tiles, threshold)


def pasted_windows(out: Tensor, probs: Tensor, boxes: Tensor, table: Tensor, tiles: int, threshold: float) -> None:
    """Write windows of pasted masks: the map of `F.grid_sample`, see `mask_paste`.

    Args:
        out: as of `resized_windows`.
        probs: (N, r, r) masks in the frames of the boxes, contiguous.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the image, contiguous.
        table: of the windows.
        tiles: their number.
        threshold: of a pixel's probability, inclusive.
    """
    if tiles:  # else all boxes are outside the image
        torch.ops.mmagg.pasted_windows(out, probs, boxes, table, tiles, threshold)


def window_borders(windows: PackedWindows) -> Tensor:
    """Where columns change, going down: one after another, row by row, for each window with a row more, bool.

    A pixel differs from the one above, outside its window 0; those of the row more are 0.
    """
    out = torch.empty(int(windows.places.borders.sum()), dtype=torch.bool, device=windows.pixels.device)
    if windows.tiles:
        torch.ops.mmagg.window_borders(out, *windows[1:])
    return out


def place(pixel: Tensor, low: Tensor, high: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The position of pixels' centres in masks padded by one cell: the cell before, and the distance from it."""
    at = (pixel + 0.5 - low) / (high - low) * 2 - 1  # the operations of `F.grid_sample` and its callers, in their order
    at = (((at + 1) * side - 1) / 2).clamp(-1, side)
    cell = at.floor().clamp(max=side - 1)
    return cell.long() + 1, at - cell


# The operators

TABLE = 'Tensor table, int tiles'
SCHEMAS = {
    'mask_extents': 'Tensor(a!) extents, Tensor probs, float threshold',
    'resized_windows': 'Tensor(a!) out, Tensor(b!) extents, Tensor probs, Tensor row, Tensor row_weight, '
    f'Tensor column, Tensor column_weight, {TABLE}, float threshold',
    'pasted_windows': f'Tensor(a!) out, Tensor probs, Tensor boxes, {TABLE}, float threshold',
    'window_borders': f'Tensor(a!) out, Tensor pixels, {TABLE}',
}
for _name, _arguments in SCHEMAS.items():
    torch.library.define(f'mmagg::{_name}', f'({_arguments}) -> ()')
    torch.library.register_fake(f'mmagg::{_name}', lambda *_: None)


def _kernels(x: Tensor) -> ModuleType | None:
    """The module with the kernels; None where the form in PyTorch computes."""
    if not x.is_cuda and triton_problem() is not None:
        return None
    from mmagg.ops import window_kernels

    return window_kernels if x.is_cuda or window_kernels.INTERPRETED else None


@torch.library.impl('mmagg::mask_extents', 'default')
def _mask_extents(extents: Tensor, probs: Tensor, threshold: float) -> None:
    if kernels := _kernels(probs):
        kernels.mask_extents(extents, probs, threshold)
        return
    for own, mask in zip(extents, probs > threshold, strict=True):
        _raise(own, mask, 0, 0, probs.shape[1:])


@torch.library.impl('mmagg::resized_windows', 'default')
def _resized_windows(
    out: Tensor, extents: Tensor, probs: Tensor, row: Tensor, row_weight: Tensor, column: Tensor, column_weight: Tensor,
    table: Tensor, tiles: int, threshold: float,
) -> None:  # fmt: skip
    if kernels := _kernels(probs):
        kernels.resized_windows(
            out, extents, probs, (row, row_weight), (column, column_weight), table, tiles, threshold
        )
        return
    for index, top, left, height, width, start, step, *_ in table.tolist():
        y, x = slice(top, top + height), slice(left, left + width)
        across = (probs[index].float()[:, column[x]] * column_weight[x]).sum(2)
        mask = (across[row[y]] * row_weight[y, :, None]).sum(1) > threshold
        _window(out, start, step, height, width).copy_(mask)
        _raise(extents[index], mask, top, left, (len(row), len(column)))


@torch.library.impl('mmagg::pasted_windows', 'default')
def _pasted_windows(out: Tensor, probs: Tensor, boxes: Tensor, table: Tensor, tiles: int, threshold: float) -> None:
    if kernels := _kernels(probs):
        kernels.pasted_windows(out, probs, boxes, table, tiles, threshold)
        return
    side = probs.shape[1]
    for index, top, left, height, width, start, step, *_ in table.tolist():
        x1, y1, x2, y2 = boxes[index]
        y, below = place(torch.arange(top, top + height), y1, y2, side)
        x, right = place(torch.arange(left, left + width), x1, x2, side)
        cells = torch.nn.functional.pad(probs[index].float(), (1, 1, 1, 1))
        terms = [
            cells[y + i][:, x + j] * (right if j else 1 - right) * (below if i else 1 - below)[:, None]
            for i in range(2)
            for j in range(2)
        ]
        _window(out, start, step, height, width).copy_(sum(terms[1:], terms[0]) >= threshold)


@torch.library.impl('mmagg::window_borders', 'default')
def _window_borders(out: Tensor, pixels: Tensor, table: Tensor, tiles: int) -> None:
    if kernels := _kernels(pixels):
        kernels.window_borders(out, pixels, table, tiles)
        return
    for _, _, _, height, width, start, _, lines, _ in table.tolist():
        if height:
            padded = torch.nn.functional.pad(_window(pixels, start, width, height, width), (0, 0, 1, 1))
            _window(out, lines, width, height + 1, width).copy_(padded[1:] != padded[:-1])


def _window(flat: Tensor, start: int, step: int, height: int, width: int) -> Tensor:
    """(height, width) view of a tensor of any shape."""
    return flat.as_strided((height, width), (step, 1), flat.storage_offset() + start)


def _raise(extents: Tensor, mask: Tensor, top: int, left: int, size: Sequence[int]) -> None:
    """Raise the extents (4,) of a mask in an image of this size to those of its window."""
    y, x = mask.nonzero(as_tuple=True)
    if len(y):
        y, x = y + top, x + left
        own = torch.stack([size[1] - x.min(), size[0] - y.min(), x.max() + 1, y.max() + 1])
        extents.copy_(extents.maximum(own))
