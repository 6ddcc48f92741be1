"""Coverage: the share of an object's box that other objects cover.

The others are all other annotated objects of the image, of any class, with crowd regions: their masks together may lie
in front of the object, behind it or close beside it. So a cup on an annotated table counts as crowded: the pixels
around it belong to the table. Where boxes are compared, the others' boxes take the place of their masks.

Shape shorthand: N boxes, G objects.
"""

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_objects import Objects
from mmagg.evaluation.matching import by_image
from mmagg.rle.codes import decode_mask, rle_boxes

NOTHING, SEVERAL = -1, -2  # where no object is, and where more than one is


def coverage(boxes: np.ndarray, images: np.ndarray, own: np.ndarray, objects: Objects) -> np.ndarray:
    """Share of each box that is covered by objects of its image other than its own.

    Args:
        boxes: (N, 4) x, y, width, height; whole pixels where objects are masks.
        images: (N,) int.
        own: (N,) int, the object that a box belongs to and that does not cover it, or -1.
        objects: G.

    Returns:
        (N,) from 0 to 1; 0 for an empty box.
    """
    result = np.zeros(len(boxes))
    boxes_in, objects_in = by_image(images), by_image(objects.images)
    for image in tqdm(sorted(boxes_in.keys() & objects_in.keys()), 'coverage', unit='image', delay=2, leave=False):
        mine, others = boxes_in[image], objects_in[image]
        result[mine] = _shares(boxes[mine], own[mine], others, objects.outlines[others])
    return result


def _shares(boxes: np.ndarray, own: np.ndarray, others: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """(N,) shares in one image: boxes (N, 4), own (N,), indices and outlines of its objects."""
    rows, columns = _grid(outlines, boxes)
    heights, widths = np.diff(rows), np.diff(columns)
    holders = np.full((len(heights), len(widths)), NOTHING, np.int32)  # which object is where
    for index, outline, window in zip(others, outlines, _windows(boxes_of(outlines), rows, columns), strict=True):
        held = holders[window]
        inside = decode_mask(outline)[window] if outlines.ndim == 1 else np.s_[:]
        held[inside] = np.where(held[inside] == NOTHING, index, SEVERAL)
    covered, areas = np.zeros(len(boxes)), boxes[:, 2:].prod(axis=1)
    anything = holders != NOTHING
    for place, window in enumerate(_windows(boxes, rows, columns)):
        other = anything[window] & (holders[window] != own[place])
        covered[place] = heights[window[0]] @ other @ widths[window[1]]
    return np.divide(covered, areas, out=np.zeros(len(boxes)), where=areas > 0)


def boxes_of(outlines: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, width, height of masks or boxes."""
    return rle_boxes(list(outlines)) if outlines.ndim == 1 else outlines


def _grid(outlines: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of rows and columns: those of pixels for masks, for boxes the sides of all boxes."""
    if outlines.ndim == 1:
        height, width = outlines[0]['size']
        return np.arange(height + 1.0), np.arange(width + 1.0)
    low, size = np.split(np.concatenate([outlines, boxes]), 2, axis=1)
    x, y = np.concatenate([low, low + size]).T
    return np.unique(y), np.unique(x)


def _windows(boxes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[tuple[slice, slice]]:
    """The rows and columns of the grid in each box."""
    x, y, right, low = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).T
    ends = (
        np.searchsorted(edges, values).tolist()
        for edges, values in ((rows, y), (rows, low), (columns, x), (columns, right))
    )
    return [np.s_[top:bottom, left:right] for top, bottom, left, right in zip(*ends, strict=True)]
