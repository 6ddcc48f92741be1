"""Triton kernels that compute windows of binary masks, each of its own size, in one launch for all.

A program has TILE pixels of a window, row by row, which it finds by the number of tiles before each window. The columns
of the table of windows are those of `window_ops`.
"""

import torch
from torch import Tensor

from mmagg.ops.triton_pixels import tl, triton
from mmagg.ops.window_table import TILE

Taps = tuple[Tensor, Tensor]  # neighbours and weights


@triton.jit
def window_of(table, num, steps, COLUMNS: tl.constexpr):
    """The row of the table whose tiles the program is one of: the last that has no more tiles before it."""
    low, high = num * 0, num
    for _ in range(steps):
        middle = (low + high) // 2
        before = tl.load(table + middle * COLUMNS + (COLUMNS - 1)) <= tl.program_id(0)
        low, high = tl.where(before, middle, low), tl.where(before, high, middle)
    return table + low * COLUMNS


@triton.jit
def note_extents(extents, inside, y, x, height, width):
    """Raise the four numbers of `mask_extents` to those of some pixels; maxima of integers depend on no order."""
    tl.atomic_max(extents, tl.max(tl.where(inside, width - x, 0), 0))
    tl.atomic_max(extents + 1, tl.max(tl.where(inside, height - y, 0), 0))
    tl.atomic_max(extents + 2, tl.max(tl.where(inside, x + 1, 0), 0))
    tl.atomic_max(extents + 3, tl.max(tl.where(inside, y + 1, 0), 0))


@triton.jit(do_not_specialize=['height', 'width', 'threshold'])
def extents_kernel(extents, probs, height, width, threshold, TILE: tl.constexpr):
    """Program (tile of a map, map)."""
    pixel = tl.program_id(0) * TILE + tl.arange(0, TILE)
    mask = tl.program_id(1).to(tl.int64)
    value = tl.load(probs + mask * (height * width) + pixel, mask=pixel < height * width, other=0).to(tl.float32)
    inside = (value > threshold) & (pixel < height * width)
    note_extents(extents + mask * 4, inside, pixel // width, pixel % width, height, width)


@triton.jit(do_not_specialize=['num', 'steps', 'height', 'width', 'out_height', 'out_width', 'threshold'])
def resize_kernel(
    out, extents, probs, table, row, row_weight, column, column_weight, num, steps,
    height, width, out_height, out_width, threshold,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TABLE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Windows of resized masks: ROWS times COLUMNS neighbours of the maps for each pixel. Program (tile)."""
    window = window_of(table, num, steps, TABLE)
    index, top, left = tl.load(window), tl.load(window + 1).to(tl.int32), tl.load(window + 2).to(tl.int32)
    rows, columns = tl.load(window + 3).to(tl.int32), tl.load(window + 4).to(tl.int32)
    start, step, before = tl.load(window + 5), tl.load(window + 6), tl.load(window + TABLE - 1).to(tl.int32)
    pixel = (tl.program_id(0) - before) * TILE + tl.arange(0, TILE)
    exists = pixel < rows * columns
    y, x = tl.where(exists, top + pixel // columns, top), tl.where(exists, left + pixel % columns, left)
    corner = probs + index * (height * width) + tl.load(row + y * ROWS) * width + tl.load(column + x * COLUMNS)
    total = tl.zeros((TILE,), tl.float32)
    for i in tl.static_range(ROWS):
        across = tl.zeros((TILE,), tl.float32)
        for j in tl.static_range(COLUMNS):
            value = tl.load(corner + i * width + j).to(tl.float32)
            across += tl.load(column_weight + x * COLUMNS + j) * value
        total += tl.load(row_weight + y * ROWS + i) * across
    inside = (total > threshold) & exists
    tl.store(out + start + (pixel // columns) * step + pixel % columns, inside.to(tl.int8), mask=exists)
    note_extents(extents + index * 4, inside, y, x, out_height, out_width)


@triton.jit
def placed(pixel, low, high, side):
    """The cell before a pixel's centre and the distance from it, with the operations of `mask_paste` in their order."""
    at = tl.div_rn(pixel + 0.5 - low, high - low) * 2 - 1
    at = ((at + 1) * side - 1) / 2
    at = tl.minimum(tl.maximum(at, -1.0), side * 1.0)
    cell = tl.minimum(tl.floor(at), side - 1.0)
    return cell.to(tl.int32), at - cell


@triton.jit(do_not_specialize=['num', 'steps', 'threshold'])
def paste_kernel(
    out, probs, boxes, table, num, steps, side, threshold, TABLE: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    """Windows of pasted masks. Program (tile)."""
    window = window_of(table, num, steps, TABLE)
    index, top, left = tl.load(window), tl.load(window + 1).to(tl.int32), tl.load(window + 2).to(tl.int32)
    rows, columns = tl.load(window + 3).to(tl.int32), tl.load(window + 4).to(tl.int32)
    start, step, before = tl.load(window + 5), tl.load(window + 6), tl.load(window + TABLE - 1).to(tl.int32)
    pixel = (tl.program_id(0) - before) * TILE + tl.arange(0, TILE)
    exists = pixel < rows * columns
    box = boxes + index * 4
    cell_x, after_x = placed((left + pixel % columns).to(tl.float32), tl.load(box), tl.load(box + 2), side)
    cell_y, after_y = placed((top + pixel // columns).to(tl.float32), tl.load(box + 1), tl.load(box + 3), side)
    corner = probs + index * (side * side) + cell_y * side + cell_x
    total = tl.zeros((TILE,), tl.float32)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            there = exists & (cell_y + i >= 0) & (cell_y + i < side) & (cell_x + j >= 0) & (cell_x + j < side)
            value = tl.load(corner + i * side + j, mask=there, other=0).to(tl.float32)
            value *= after_x if j == 1 else 1 - after_x
            total += value * (after_y if i == 1 else 1 - after_y)
    inside = (total >= threshold).to(tl.int8)
    tl.store(out + start + (pixel // columns) * step + pixel % columns, inside, mask=exists)


@triton.jit(do_not_specialize=['num', 'steps'])
def borders_kernel(out, pixels, table, num, steps, TABLE: tl.constexpr, TILE: tl.constexpr):
    """Whether pixels, and those below a window, differ from the ones above. Program (tile)."""
    window = window_of(table, num, steps, TABLE)
    rows, columns = tl.load(window + 3).to(tl.int32), tl.load(window + 4).to(tl.int32)
    start, lines, before = tl.load(window + 5), tl.load(window + 7), tl.load(window + TABLE - 1).to(tl.int32)
    pixel = (tl.program_id(0) - before) * TILE + tl.arange(0, TILE)
    exists = pixel < (rows + 1) * columns
    here = tl.load(pixels + start + pixel, mask=pixel < rows * columns, other=0)
    above = tl.load(pixels + start + pixel - columns, mask=(pixel >= columns) & exists, other=0)
    tl.store(out + lines + pixel, (here != above).to(tl.int8), mask=exists)


# Launching: arguments as of the operators in `window_ops`.

INTERPRETED = not isinstance(borders_kernel, triton.JITFunction)  # TRITON_INTERPRET=1: on the CPU as well, slowly


def mask_extents(extents: Tensor, probs: Tensor, threshold: float) -> None:
    """As the operator."""
    num, height, width = probs.shape
    with torch.cuda.device_of(probs):
        extents_kernel[triton.cdiv(height * width, TILE), num](extents, probs, height, width, threshold, TILE=TILE)


def resized_windows(
    out: Tensor, extents: Tensor, probs: Tensor, rows: Taps, columns: Taps, table: Tensor, tiles: int, threshold: float
) -> None:
    """As the operator."""
    with torch.cuda.device_of(probs):
        resize_kernel[tiles,](
            out.view(torch.int8), extents, probs, table, *rows, *columns, len(table), len(table).bit_length(),
            *probs.shape[1:], len(rows[0]), len(columns[0]), threshold,
            ROWS=rows[0].shape[1], COLUMNS=columns[0].shape[1], TABLE=table.shape[1], TILE=TILE,
        )  # fmt: skip


def pasted_windows(out: Tensor, probs: Tensor, boxes: Tensor, table: Tensor, tiles: int, threshold: float) -> None:
    """As the operator."""
    with torch.cuda.device_of(probs):
        paste_kernel[tiles,](
            out.view(torch.int8), probs, boxes, table, len(table), len(table).bit_length(), probs.shape[1], threshold,
            TABLE=table.shape[1], TILE=TILE, enable_fp_fusion=False,
        )  # fmt: skip


def window_borders(out: Tensor, pixels: Tensor, table: Tensor, tiles: int) -> None:
    """As the operator."""
    with torch.cuda.device_of(pixels):
        borders_kernel[tiles,](
            out.view(torch.int8), pixels.view(torch.int8), table, len(table), len(table).bit_length(),
            TABLE=table.shape[1], TILE=TILE,
        )  # fmt: skip
