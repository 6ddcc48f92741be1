"""Detections matched to the annotated objects of their image and class, as COCO's evaluation does it.

Shape shorthand: I images, K classes, G objects, D detections, P overlapping pairs, A size ranges, T IoU thresholds.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_objects import Detections, Objects, ranks
from mmagg.io.errors import InputError
from mmagg.rle.codes import pairwise_iou

THRESHOLDS = np.linspace(0.5, 0.95, 10)
SIZES = {'all': (0, 1e10), 'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, 1e10)}  # pixels


def check_iou_thr(iou_thr: float) -> None:
    """Raises InputError for an IoU threshold of 0, at which every detection would match."""
    if iou_thr <= 0:
        raise InputError(f'--iou-thr {iou_thr:g}: must be more than 0')


class Pairs(NamedTuple):
    """Detections and objects that overlap: their indices (P,), (P,) and their IoU (P,).

    The IoU with a crowd region is the share of the detection that lies in it.
    """

    detections: np.ndarray
    objects: np.ndarray
    ious: np.ndarray

    def where(self, chosen: np.ndarray) -> 'Pairs':
        """The pairs that `chosen`, (P,) bool or indices, selects."""
        return Pairs(*(values[chosen] for values in self))


class Outcome(NamedTuple):
    """The detections that are right, those that are wrong, and the objects to be found.

    Attributes:
        matches: (A, T, D) int32, the object of each detection, or -1.
        true: (A, T, D) bool: right.
        false: (A, T, D) bool: wrong. A detection in a crowd region or of another size may be neither: it doesn't count.
        expected: (A, G) bool: objects to be found.
    """

    matches: np.ndarray
    true: np.ndarray
    false: np.ndarray
    expected: np.ndarray


def overlaps(detections: Detections, objects: Objects) -> Pairs:
    """All pairs of a detection and an object of the same image that overlap, of any classes."""
    found = [Pairs(np.empty(0, int), np.empty(0, int), np.empty(0))]
    predicted, annotated = by_image(detections.images), by_image(objects.images)
    for image in tqdm(sorted(predicted.keys() & annotated.keys()), 'overlaps', unit='image', delay=2, leave=False):
        some, others = predicted[image], annotated[image]
        ious = pairwise_iou(detections.outlines[some], objects.outlines[others], objects.crowd[others])
        rows, columns = ious.nonzero()
        found.append(Pairs(some[rows], others[columns], ious[rows, columns]))
    return Pairs(*map(np.concatenate, zip(*found, strict=True)))


def by_image(images: np.ndarray) -> Mapping[int, np.ndarray]:
    """The indices of the entries of each image, in order, from the (N,) images of all entries."""
    order = np.argsort(images, kind='stable')
    names, starts = np.unique(images[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}


def same_class(pairs: Pairs, detections: Detections, objects: Objects) -> Pairs:
    """The pairs whose classes agree."""
    return pairs.where(detections.labels[pairs.detections] == objects.labels[pairs.objects])


def most_overlapped(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU and object (D,) of the largest overlap of each of ``count`` detections; 0 and -1 without one."""
    ious, objects = np.zeros(count), np.full(count, -1)
    order = np.argsort(pairs.ious, kind='stable')
    ious[pairs.detections[order]] = pairs.ious[order]  # the last one written stays
    objects[pairs.detections[order]] = pairs.objects[order]
    return ious, objects


def match(
    pairs: Pairs, turns: np.ndarray, ignored: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Give each detection an object, the most certain ones first.

    A detection takes the object that it overlaps most among those that no other has taken, and an ignored one only
    where no other is left. Crowd regions are never used up. All images and classes proceed at once.

    Args:
        pairs: P of them; detections with the same turn have no object in common.
        turns: (D,) the round in which a detection chooses: its rank in its image and class.
        ignored: (A, G) bool, crowd regions included.
        crowd: (G,) bool.
        thresholds: (T,) least IoU of a match.

    Returns:
        (A, T, D) int32, objects, or -1.
    """
    matches = np.full((len(ignored), len(thresholds), len(turns)), -1, np.int32)
    taken = np.zeros((len(ignored), len(thresholds), len(crowd)), bool)
    pairs = pairs.where(pairs.ious >= thresholds.min())
    steps = turns[pairs.detections]
    order = np.lexsort((pairs.objects, pairs.ious, pairs.detections, steps))
    for step in np.split(order, np.flatnonzero(np.diff(steps[order])) + 1):
        if not len(step):
            continue
        found, objects, ious = (values[step] for values in pairs)
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        usable = (crowd[objects] | ~taken[:, :, objects]) & (ious >= thresholds[:, None])
        # Places count from 1 in the order of IoU; a regular object comes before all ignored ones.
        place = np.arange(1, len(step) + 1) + len(step) * ~ignored[:, None, objects]
        best = np.maximum.reduceat(np.where(usable, place, 0), starts, axis=-1)
        chosen = np.where(best > 0, objects[(best - 1) % len(step)], -1)
        matches[:, :, found[starts]] = chosen
        size, threshold, column = np.nonzero(best)
        taken[size, threshold, chosen[size, threshold, column]] = True
    return matches


def evaluate(
    detections: Detections,
    objects: Objects,
    pairs: Pairs,
    *,
    sizes: Sequence[tuple[float, float]] = (SIZES['all'],),
    thresholds: np.ndarray = THRESHOLDS,
) -> Outcome:
    """Match detections to objects of their class, for ranges of size.

    Args:
        detections: D, as `Detections.counted` gives them.
        objects: G of them.
        pairs: from `overlaps`.
        sizes: A ranges of areas in pixels, both ends included.
        thresholds: (T,) IoU of a right detection.
    """
    low, high = np.array(sizes, float).T[..., None]
    outside, strange = ((things.areas < low) | (things.areas > high) for things in (objects, detections))
    return evaluate_groups(detections, objects, pairs, outside=outside, strange=strange, thresholds=thresholds)


def evaluate_groups(
    detections: Detections,
    objects: Objects,
    pairs: Pairs,
    *,
    outside: np.ndarray,
    strange: np.ndarray,
    thresholds: np.ndarray = THRESHOLDS,
) -> Outcome:
    """`evaluate` with A groups of objects instead of ranges of size.

    Args:
        detections, objects, pairs, thresholds: as of `evaluate`.
        outside: (A, G) bool, objects that are not in a group. Detections matched to them do not count in it.
        strange: (A, D) bool, detections that do not count in a group if they are matched to nothing.
    """
    ignored = objects.crowd | outside
    turns = ranks(detections.images, detections.labels)
    matches = match(same_class(pairs, detections, objects), turns, ignored, objects.crowd, thresholds)
    matched = matches >= 0
    unseen = np.zeros((len(outside), 1), bool)  # what -1 points at
    excused = np.concatenate([ignored, unseen], axis=1)[np.arange(len(outside))[:, None, None], matches]
    return Outcome(matches, matched & ~excused, ~matched & ~strange[:, None], ~ignored)
