"""AP of objects by their size, and by how much of their box others cover (crowded scenes: AggMask, Figure 6).

An object's coverage is the share of its own bounding box that the masks of all other annotated objects of the image
cover together, of whatever class, crowd regions too: what is in front of it, behind it or close beside it. So a cup on
an annotated table counts as crowded: what surrounds it belongs to something else. Where boxes are compared, the others'
boxes take the place of their masks.

Coverage is treated as COCO treats size. A group counts its own objects; what is matched to another object is neither
right nor wrong there. A detection that is matched to nothing is wrong in one group alone, that of its own coverage by
the same ruler: the share of its box that annotated objects cover, but for the one that it overlaps most, which it
stands for. So a second detection of a lone object harms the group of lone objects, one in a crowd that of the crowd,
and a small group does not drown in what is wrong elsewhere, as it would if unmatched detections counted in all groups.

Shape shorthand: I images, K classes, G objects, D detections, A groups, N boxes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pycocotools.mask as coco_mask
from tqdm import tqdm

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.average_precision import average_precision, mean_over_classes, once
from mmagg.evaluation.matching import (
    SIZES,
    THRESHOLDS,
    Outcome,
    Pairs,
    by_image,
    evaluate,
    evaluate_groups,
)

EDGES = (0.0, 0.1, 0.3)
NOTHING, SEVERAL = -1, -2  # where no object is, and where more than one is


class GroupScores(NamedTuple):
    """Scores of groups; the last column is the mean over the classes, or the sum of objects.

    Attributes:
        ap: (A, K + 1), nan where the group has no such object.
        ap50: (A, K + 1), at IoU 0.5.
        ap75: (A, K + 1), at IoU 0.75.
        ar: (A, K + 1), the share of the objects that is found, mean over the thresholds.
        objects: (A, K + 1) int.
    """

    ap: np.ndarray
    ap50: np.ndarray
    ap75: np.ndarray
    ar: np.ndarray
    objects: np.ndarray


def group_scores(
    outcome: Outcome, detections: Detections, objects: Objects, *, images: int, classes: int
) -> GroupScores:
    """Scores of what `evaluate` or `evaluate_groups` has judged at the thresholds of COCO.

    Args:
        outcome: of A groups.
        detections: D.
        objects: G.
        images: I.
        classes: K.
    """
    ap = average_precision(outcome, detections, objects, once(images), classes=classes)[0]
    groups = range(len(outcome.expected))
    counts = np.array([np.bincount(objects.labels[outcome.expected[a]], minlength=classes) for a in groups])
    found = np.array(
        [[np.bincount(detections.labels[true], minlength=classes) for true in outcome.true[a]] for a in groups]
    )
    ar = found.mean(axis=1) / np.where(counts, counts, np.nan)
    values = ap.mean(axis=1), ap[:, 0], ap[:, np.isclose(THRESHOLDS, 0.75).argmax()], ar
    means = (np.concatenate([value, mean_over_classes(value)[:, None]], axis=1) for value in values)
    return GroupScores(*means, np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1))


def by_size(detections: Detections, objects: Objects, pairs: Pairs, *, images: int, classes: int) -> GroupScores:
    """Scores of COCO's `SIZES`, the first of which is all.

    Args:
        detections: D, as `Detections.counted` gives them.
        objects: G.
        pairs: from `overlaps`.
        images: I.
        classes: K.
    """
    outcome = evaluate(detections, objects, pairs, sizes=list(SIZES.values()))
    return group_scores(outcome, detections, objects, images=images, classes=classes)


def coverage_names(edges: Sequence[float]) -> list[str]:
    """What the groups of `by_coverage` are called."""
    ends = [f'{100 * edge:g}' for edge in edges]
    first = '0 %' if edges[0] == 0 else f'up to {ends[0]} %'
    between = [f'{low}–{high} %' for low, high in pairwise(ends)]
    return [first, *between, f'over {ends[-1]} %']


def by_coverage(
    detections: Detections,
    objects: Objects,
    pairs: Pairs,
    *,
    images: int,
    classes: int,
    edges: Sequence[float] = EDGES,
) -> GroupScores:
    """Scores by how much of an object's box others cover; see above.

    Args:
        detections: D, as `Detections.counted` gives them.
        objects: G.
        pairs: from `overlaps`.
        images: I.
        classes: K.
        edges: ascending, A − 1 of them: up to the first (0: not at all), from there up to and with the second, …, more
            than the last.
    """
    own = np.append(np.arange(len(objects)), most_overlapped(detections, objects, pairs))
    boxes = np.concatenate([boxes_of(objects.outlines), boxes_of(detections.outlines)])
    shares = coverage(boxes, np.append(objects.images, detections.images), own, objects)
    elsewhere = np.arange(len(edges) + 1)[:, None] != np.digitize(shares.round(9), edges, right=True)
    outside, strange = np.split(elsewhere, [len(objects)], axis=1)
    outcome = evaluate_groups(detections, objects, pairs, outside=outside, strange=strange)
    return group_scores(outcome, detections, objects, images=images, classes=classes)


def most_overlapped(detections: Detections, objects: Objects, pairs: Pairs) -> np.ndarray:
    """(D,) the object, of any class but no crowd region, whose IoU with each detection is largest; -1 without one."""
    pairs = pairs.where(~objects.crowd[pairs.objects])
    order = np.argsort(pairs.ious, kind='stable')
    best = np.full(len(detections), NOTHING)
    best[pairs.detections[order]] = pairs.objects[order]  # the last one written stays
    return best


def coverage(boxes: np.ndarray, images: np.ndarray, own: np.ndarray, objects: Objects) -> np.ndarray:
    """Share of each box that is covered by objects of its image other than its own.

    Args:
        boxes: (N, 4) x, y, width, height; whole pixels where objects are masks.
        images: (N,) int.
        own: (N,) int, the object that does not count as another, or -1.
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
        inside = coco_mask.decode(outline)[window] > 0 if outlines.ndim == 1 else np.s_[:]
        held[inside] = np.where(held[inside] == NOTHING, index, SEVERAL)
    covered, areas = np.zeros(len(boxes)), boxes[:, 2:].prod(axis=1)
    anything = holders != NOTHING
    for place, window in enumerate(_windows(boxes, rows, columns)):
        other = anything[window] & (holders[window] != own[place])
        covered[place] = heights[window[0]] @ other @ widths[window[1]]
    return np.divide(covered, areas, out=np.zeros(len(boxes)), where=areas > 0)


def boxes_of(outlines: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, width, height of masks or boxes."""
    return coco_mask.toBbox(outlines.tolist()).reshape(-1, 4) if outlines.ndim == 1 else outlines


def _grid(outlines: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rows and columns begin and end: pixels of masks, or cells between the sides of all boxes."""
    if outlines.ndim == 1:
        return tuple(np.arange(side + 1.0) for side in outlines[0]['size'])
    low, size = np.split(np.concatenate([outlines, boxes]), 2, axis=1)
    x, y = np.concatenate([low, low + size]).T
    return np.unique(y), np.unique(x)


def _windows(boxes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> list[tuple[slice, slice]]:
    """The part of the grid that is each box."""
    x, y, right, low = (*boxes[:, :2].T, *(boxes[:, :2] + boxes[:, 2:]).T)
    ends = (
        np.searchsorted(edges, values).tolist()
        for edges, values in ((rows, y), (rows, low), (columns, x), (columns, right))
    )
    return [np.s_[top:bottom, left:right] for top, bottom, left, right in zip(*ends, strict=True)]
