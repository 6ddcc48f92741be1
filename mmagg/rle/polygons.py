"""Masks as polygons and back, without losing a pixel.

A mask's borders run along the edges of its pixels: pixel (x, y) is the square from (x, y) to (x + 1, y + 1), so that a
polygon's area is the mask's. The way back takes the pixels whose centres are inside, by the even-odd rule. Corners at
integers are half a pixel away from all centres, so that rounding in between, up to that, changes nothing.

Shape shorthand: n corners of a ring, which is closed without repeating its first; (H, W) size of the image.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmagg.rle.codes import decode_window, mask_box

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2**20  # distances between corners at once

Ring = np.ndarray
"""(n, 2) x, y in pixels."""
Polygon = list[Ring]
"""The outer ring, then those of its holes."""


def mask_polygons(mask: 'Tensor | np.ndarray | dict', *, tolerance: float = 0.0) -> list[Polygon]:
    """The polygons of one mask, one for each part of it; pixels that touch at a corner alone are not connected.

    Rings do not cross and do not touch themselves; those of holes may touch others in a corner. Outer rings run
    clockwise as seen in the image, whose y points down, holes the other way.

    Args:
        mask: (H, W), in any of the forms that masks have.
        tolerance: pixels by which the borders may be simplified (Douglas-Peucker); 0 keeps each corner. Parts and holes
            that are left with fewer than three corners go.

    Returns:
        Polygons of rings (n, 2) float64, in the order of their parts, from the top.
    """
    import cv2

    x, y, w, h = mask_box(mask)
    labels = cv2.connectedComponents(decode_window(mask, (x, y, w, h)), connectivity=4)[1] if w else np.zeros((0, 0))
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for label, ring in _rings(np.pad(labels, 1)):
        shape = ring + np.array([x, y])
        if tolerance:
            shape = cv2.approxPolyDP(shape.astype(np.float32), tolerance, True)[:, 0].astype(np.float64)
        if len(shape) < 3:
            continue
        if signed_area(ring) > 0:
            outer[label] = shape
        else:
            holes.setdefault(label, []).append(shape)
    return [[ring, *holes.get(label, [])] for label, ring in sorted(outer.items())]


def polygons_to_rle(polygons: Sequence[Sequence[Ring]], size: tuple[int, int]) -> dict:
    """The mask of polygons: the pixels whose centres are inside an odd number of rings.

    Each ring is cut with the columns of pixel centres. A cut toggles all pixels below it, and the sorted cuts are the
    run lengths. What is outside the image is left out.

    Args:
        polygons: of rings (n, 2) x, y in pixels, closed whether or not the last corner repeats the first.
        size: (H, W) of the image.

    Returns:
        RLE as of `masks_to_rle`.
    """
    from pycocotools import mask as coco_mask

    height, width = size
    rings = [np.asarray(ring, np.float64) for polygon in polygons for ring in polygon]
    start = np.concatenate([np.zeros((0, 2)), *rings])
    stop = np.concatenate([np.zeros((0, 2)), *(np.roll(ring, -1, axis=0) for ring in rings)])
    swap = start[:, :1] > stop[:, :1]  # the same cuts in both directions, so that bridges cancel exactly
    left, right = np.where(swap, stop, start), np.where(swap, start, stop)
    first, last = (np.ceil(x - 0.5).clip(0, width).astype(int) for x in (left[:, 0], right[:, 0]))
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    column = np.arange(len(edge)) - np.repeat(count.cumsum() - count, count) + first[edge]
    slope = (right - left)[edge]
    y = left[edge, 1] + (column + 0.5 - left[edge, 0]) * slope[:, 1] / slope[:, 0]
    cuts, times = np.unique(column * height + np.ceil(y - 0.5).clip(0, height).astype(int), return_counts=True)
    ends = cuts[(times % 2 == 1) & (cuts < height * width)]
    counts = np.diff(ends, prepend=0, append=height * width)
    code = coco_mask.frPyObjects({'size': [height, width], 'counts': counts.tolist()}, height, width)['counts']
    return {'size': [height, width], 'counts': code.decode()}


def one_ring(polygons: Sequence[Sequence[Ring]]) -> Ring:
    """Polygons as one ring, for formats that have no holes and parts: bridges of no width join their nearest corners.

    Args:
        polygons: at least one.

    Returns:
        (n, 2) with the same mask under `polygons_to_rle`.
    """
    rings = [np.asarray(ring, np.float64) for polygon in polygons for ring in polygon]
    corners = np.concatenate(rings)
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    first = np.cumsum([0, *(len(ring) for ring in rings)])
    # Prim's tree: the ring that is nearest to those that are joined comes next, each pair of corners is seen once.
    gap, joined_at = np.full(len(corners), np.inf), np.zeros(len(corners), int)
    bridges: dict[int, list[int]] = {}
    newest = 0
    for _ in rings[1:]:
        gap[owner == newest] = np.inf
        left = np.flatnonzero(np.isfinite(gap)) if newest else np.flatnonzero(owner > 0)
        distance, place = _nearest(corners[left], rings[newest])
        closer = distance < gap[left]
        gap[left[closer]], joined_at[left[closer]] = distance[closer], first[newest] + place[closer]
        there = int(gap.argmin())
        bridges.setdefault(int(joined_at[there]), []).append(there)
        newest = int(owner[there])
    order: list[int] = []
    steps = [(corner, True) for corner in reversed(range(first[1]))]
    while steps:
        corner, crosses = steps.pop()
        order.append(corner)
        for there in bridges.get(corner, []) if crosses else ():
            start, stop = first[owner[there]], first[owner[there] + 1]
            around = [*range(there, stop), *range(start, there)]
            steps += [(corner, False), (there, False), *((one, True) for one in reversed(around))]
    return corners[order]


def _nearest(points: np.ndarray, ring: Ring) -> tuple[np.ndarray, np.ndarray]:
    """The squared distance of each of some points (m, 2) to the nearest corner of a ring, and which that is."""
    distance, place = np.empty(len(points)), np.empty(len(points), int)
    step = max(1, BLOCK // len(ring))
    for start in range(0, len(points), step):
        some = points[start : start + step]
        gaps = (some[:, :1] - ring[:, 0]) ** 2 + (some[:, 1:] - ring[:, 1]) ** 2
        place[start : start + step] = gaps.argmin(axis=1)
        distance[start : start + step] = gaps.min(axis=1)
    return distance, place


def signed_area(ring: Ring) -> float:
    """Square pixels inside a ring (n, 2); negative for one that runs anticlockwise as seen in the image."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _rings(labels: np.ndarray) -> list[tuple[int, Ring]]:
    """The borders of the parts of a mask, and the part of each.

    Edges between pixels meet at corners. Along a row, corners in order are the ends of horizontal edges, two by two,
    along a column those of vertical ones; so a border goes from a corner along the row, then along the column, ....
    Where two pixels of the mask touch at a corner alone, two borders meet there, and the corner is listed twice: pixels
    of two parts are kept apart, those of one part are kept together, so that no ring touches itself.

    Args:
        labels: (H + 2, W + 2) int, the part of each pixel, 0 outside, with a border of 0.

    Returns:
        Parts and rings (n, 2) float64; outer ones clockwise in the image, holes anticlockwise.
    """
    above_left, above_right = labels[:-1, :-1], labels[:-1, 1:]
    below_left, below_right = labels[1:, :-1], labels[1:, 1:]
    odd = ((above_left > 0) ^ (above_right > 0) ^ (below_left > 0) ^ (below_right > 0)).astype(bool)
    falling = (above_left > 0) & (below_right > 0) & (above_right == 0) & (below_left == 0)
    rising = (above_right > 0) & (below_left > 0) & (above_left == 0) & (below_right == 0)
    y, x = np.nonzero(odd | falling | rising)
    twice = ~odd[y, x]
    # Of a corner that is listed twice, the first ends an edge from the left, the second begins one to the right.
    place = np.repeat(np.arange(len(x)), 1 + twice)
    second = np.zeros(len(place), bool)
    second[1:] = place[1:] == place[:-1]
    y, x = y[place], x[place]
    apart = np.where(falling, above_left != below_right, above_right != below_left)[y, x]
    first_goes_up = falling[y, x] == apart
    by_row = np.arange(len(x))  # np.nonzero sorts by rows, then columns
    by_column = np.lexsort((twice[place] & (first_goes_up == second), y, x))
    across, along = np.empty(len(x), int), np.empty(len(x), int)
    across[by_row] = by_row.reshape(-1, 2)[:, ::-1].ravel()
    along[by_column] = by_column.reshape(-1, 2)[:, ::-1].ravel()
    # Clockwise around the mask: to the right where it is below an edge, to the left where it is above.
    left = np.minimum(by_row, across)
    below = below_right[y[left], x[left]]
    part = np.where(below > 0, below, above_right[y[left], x[left]])
    begins = (below > 0) == (by_row == left)
    corners = np.stack([x, y], 1).astype(np.float64)
    rings, seen = [], ~begins
    for corner in np.flatnonzero(begins).tolist():
        if seen[corner]:
            continue
        ring, at = [], corner
        while not seen[at]:
            seen[at] = True
            ring += [at, across[at]]
            at = along[across[at]]
        rings.append((int(part[corner]), corners[ring]))
    return rings
