"""Masks as stretches of columns: moved, resized and measured in part without a pixel being drawn.

Shape shorthand: R stretches of a mask of (H, W) pixels.
"""

from typing import NamedTuple

import numpy as np

from mmagg.rle.codes import compressed
from mmagg.rle.lengths import run_lengths

MOST_PIXELS = 2**32 - 1  # of a mask whose runs pycocotools holds: it counts them in 32 bits


class Stretches(NamedTuple):
    """A mask, column by column.

    Attributes:
        column: (R,) int64 x of each stretch, ascending.
        top: (R,) int64 its first row.
        bottom: (R,) int64 the row after its last one.
    """

    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray

    def within(self, rectangle: np.ndarray) -> 'Stretches':
        """The part in a rectangle x1, y1, x2, y2."""
        x1, y1, x2, y2 = rectangle
        top, bottom = np.maximum(self.top, y1), np.minimum(self.bottom, y2)
        seen = (self.column >= x1) & (self.column < x2) & (top < bottom)
        return Stretches(self.column[seen], top[seen], bottom[seen])

    def without(self, rectangle: np.ndarray) -> 'Stretches':
        """The part outside a rectangle x1, y1, x2, y2."""
        x1, y1, x2, y2 = rectangle
        crossing = (self.column >= x1) & (self.column < x2)
        above, below = np.minimum(self.bottom[crossing], y1), np.maximum(self.top[crossing], y2)
        column = np.concatenate([self.column[~crossing], self.column[crossing], self.column[crossing]])
        top = np.concatenate([self.top[~crossing], self.top[crossing], below])
        bottom = np.concatenate([self.bottom[~crossing], above, self.bottom[crossing]])
        left = np.flatnonzero(top < bottom)
        order = left[np.lexsort((top[left], column[left]))]
        return Stretches(column[order], top[order], bottom[order])

    def area(self) -> int:
        """Pixels."""
        return int((self.bottom - self.top).sum())

    def box(self) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 around the pixels; zeros where there are none."""
        if len(self.column) == 0:
            return 0, 0, 0, 0
        return int(self.column[0]), int(self.top.min()), int(self.column[-1]) + 1, int(self.bottom.max())


def stretches_of(rle: dict) -> Stretches:
    """The stretches of a mask; a run that goes on in the next column is as many."""
    height = rle['size'][0]
    code = compressed(rle)['counts']
    ends = np.cumsum(run_lengths(code.encode() if isinstance(code, str) else code))
    ends = ends[: len(ends) // 2 * 2].reshape(-1, 2)  # of the background before a run, and of the run
    start, end = ends[ends[:, 0] < ends[:, 1]].T
    first, columns = start // height, (end - 1) // height - start // height + 1
    run = np.repeat(np.arange(len(start)), columns)
    column = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(columns) - columns, columns)
    top = np.maximum(start[run] - column * height, 0)
    return Stretches(column, top, np.minimum(end[run] - column * height, height))


def stretches_to_rle(stretches: Stretches, size: tuple[int, int]) -> dict:
    """A mask as RLE of (H, W) pixels, `{'size': [H, W], 'counts': str}`.

    Raises:
        ValueError: the image has more pixels than pycocotools counts.
    """
    from pycocotools import mask as coco_mask

    height, width = size
    if height * width > MOST_PIXELS:
        raise ValueError(f'an image of {width} × {height} pixels: RLE of pycocotools counts up to {MOST_PIXELS:,}')
    ends = np.stack([stretches.column * height + one for one in stretches[1:]], axis=1).ravel()
    apart = np.diff(ends, prepend=-1, append=-1) != 0  # runs meet where one goes on in the next column
    lengths = np.diff(ends[apart[1:] & apart[:-1]], prepend=0, append=height * width)
    counts = lengths if len(lengths) == 1 or lengths[-1] else lengths[:-1]
    return {
        'size': [height, width],
        'counts': coco_mask.frPyObjects({'size': [height, width], 'counts': counts}, height, width)['counts'].decode(),
    }


def placed_rle(rle: dict, left: int, top: int, size: tuple[int, int]) -> dict:
    """The mask of a part of an image, in that image of (H, W) pixels; the part's corner is at (left, top)."""
    column, first, last = stretches_of(rle)
    return stretches_to_rle(Stretches(column + left, first + top, last + top), size)


def resized_rle(rle: dict, size: tuple[int, int]) -> dict:
    """A mask resized to (H, W) pixels: each takes the value of the nearest one."""
    (height, width), (column, top, bottom) = rle['size'], stretches_of(rle)
    first, end = (_first_pixel(edge, width, size[1]) for edge in (column, column + 1))
    copies = end - first
    stretch = np.repeat(np.arange(len(column)), copies)
    columns = first[stretch] + np.arange(len(stretch)) - np.repeat(np.cumsum(copies) - copies, copies)
    tops, bottoms = (_first_pixel(edge, height, size[0])[stretch] for edge in (top, bottom))
    kept = np.flatnonzero(tops < bottoms)  # none where it shrinks
    order = kept[np.lexsort((tops[kept], columns[kept]))]
    return stretches_to_rle(Stretches(columns[order], tops[order], bottoms[order]), size)


def _first_pixel(edge: np.ndarray, old: int, new: int) -> np.ndarray:
    """The first of ``new`` pixels whose centre lies at or behind an edge of ``old`` ones."""
    return -((old - 2 * edge * new) // (2 * old))
