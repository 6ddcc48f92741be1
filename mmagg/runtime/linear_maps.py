"""Bilinear interpolation of an axis as a matrix of few neighbours, applied where it is needed.

Shape shorthand: L pixels of an axis before, M after; K neighbours of each; (p, q) pixels of a map, (a, b) of an image.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

BLOCK = 128  # pixels of an axis computed in one product: few neighbours, and a result that stays in the caches


class LinearMap(NamedTuple):
    """A linear map of an axis, each of whose outputs depends on K inputs side by side.

    The matrix is dense: a product of blocks of it, with their zeros, is faster than what gathers neighbours.
    """

    matrix: np.ndarray
    """(M, L) float32, with zeros but for the K neighbours."""
    start: np.ndarray
    """(M,) int64, ascending: the first neighbour."""
    num: int
    """K."""

    def reached(self, low: int, stop: int) -> tuple[int, int]:
        """The first output that depends on inputs from `low` up to `stop`, and the one behind the last."""
        first = int(np.searchsorted(self.start + self.num, low, side='right'))
        return first, max(first, int(np.searchsorted(self.start, stop)))

    def sources(self, first: int, stop: int) -> tuple[int, int]:
        """The first input on which outputs from `first` up to `stop` depend, and the one behind the last."""
        return int(self.start[first]), int(self.start[stop - 1]) + self.num

    def applied(self, x: np.ndarray, low: int, first: int, stop: int) -> np.ndarray:
        """Inputs (p, d) from `low` on -> the outputs from `first` up to `stop`, (stop - first, d) float32."""
        result = np.empty((stop - first, x.shape[1]), np.float32)
        for begin in range(first, stop, BLOCK):
            end = min(begin + BLOCK, stop)
            before, behind = self.sources(begin, end)
            block = self.matrix[begin:end, before:behind]
            np.matmul(block, x[before - low : behind - low], out=result[begin - first : end - first])
        return result


@lru_cache(maxsize=64)  # a video has one size of images; data sets have few
def two_resizes(before: int, between: int, crop: int, after: int) -> LinearMap:
    """The map of two bilinear resizes (align_corners=False) of one axis, with a crop between them.

    Args:
        before: L.
        between: length after the first resize.
        crop: length after the crop, from the start.
        after: M.

    Products that PyTorch adds fused, which round once, are computed in float64: the weights are its own, bit for bit.
    """
    start, end, share = _neighbours(before, between)
    first = np.zeros((between, before), np.float32)
    np.add.at(first, (np.arange(between), start), 1 - share)
    np.add.at(first, (np.arange(between), end), share)
    start, end, share = _neighbours(crop, after)
    later = (first[end] * share[:, None]).astype(np.float64)
    matrix = (first[start] * (1 - share[:, None]).astype(np.float64) + later).astype(np.float32)
    inside = matrix > 0
    low, high = inside.argmax(1), before - 1 - inside[:, ::-1].argmax(1)
    num = int((high - low).max()) + 1
    return LinearMap(matrix, np.minimum(low, before - num), num)


def _neighbours(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours (M,) of each pixel of a resized axis, and the second one's weight (M,) float32."""
    scale = np.float64(np.float32(before) / np.float32(after))
    at = np.maximum((scale * (np.arange(after) + 0.5) - 0.5).astype(np.float32), 0)
    start = np.minimum(at.astype(np.int64), before - 1)
    share = np.clip(at - start.astype(np.float32), 0, 1) if before != after else np.zeros(after, np.float32)
    return start, np.minimum(start + 1, before - 1), share


def sampling(first: int, stop: int, low: np.float32, high: np.float32, side: int) -> LinearMap:
    """The map from a mask in the frame of a box to pixels: each samples the mask at its centre.

    As `F.grid_sample(padding_mode='zeros', align_corners=False)` does, with its rounding.

    Args:
        first: of the M pixels of the image.
        stop: the one behind the last.
        low: the box's first edge, in pixels.
        high: its last one.
        side: of the mask; the map is from the mask with a cell of zeros on each side, L = side + 2.
    """
    pixel = np.arange(first, stop, dtype=np.float32)
    at = (pixel + np.float32(0.5) - low) / (high - low) * np.float32(2) - np.float32(1)
    at = np.clip(((at + np.float32(1)) * np.float32(side) - np.float32(1)) / np.float32(2), -1, side)
    cell = np.minimum(np.floor(at), side - 1)
    start, after, row = cell.astype(np.int64) + 1, at - cell, np.arange(stop - first)
    matrix = np.zeros((stop - first, side + 2), np.float32)
    matrix[row, start], matrix[row, start + 1] = 1 - after, after
    return LinearMap(matrix, start, 2)


def above(
    x: np.ndarray,
    low: tuple[int, int],
    rows: LinearMap,
    columns: LinearMap,
    window: tuple[int, int, int, int],
    *,
    threshold: float,
    inclusive: bool,
) -> np.ndarray:
    """Where a map, interpolated along both axes, is above a threshold.

    Args:
        x: (p, q) float32, the part of the map on which the window depends.
        low: the place of its first pixel in the map, (y, x).
        rows: the map of the rows.
        columns: the map of the columns.
        window: y1, y2, x1, x2 of the image, without the last ones; not empty.
        threshold: in the type of `x`.
        inclusive: a value equal to the threshold is above it.

    Returns:
        (y2 - y1, x2 - x1) bool. Of the values, few rows are held at once.
    """
    y1, y2, x1, x2 = window
    compare = np.greater_equal if inclusive else np.greater
    wide = np.ascontiguousarray(columns.applied(x.T, low[1], x1, x2).T)  # (p, b)
    result = np.empty((y2 - y1, x2 - x1), bool)
    for begin in range(y1, y2, BLOCK):
        end = min(begin + BLOCK, y2)
        values = rows.applied(wide, low[0], begin, end)
        compare(values, np.float32(threshold), out=result[begin - y1 : end - y1])
    return result
