"""Detections matched to the annotated objects of their image and class, as COCO's evaluation does it.

Shape shorthand: I images, K classes, G objects, D detections, P overlapping pairs, A size ranges, T IoU thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pycocotools.mask as coco_mask
from tqdm import tqdm

THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100  # of an image and class
SIZES = {'all': (0, 1e10), 'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, 1e10)}  # pixels


@dataclass(frozen=True)
class Objects:
    """What is annotated, in the order of the file.

    Attributes:
        images: (G,) int, indices of images.
        labels: (G,) int, indices of classes.
        areas: (G,) in pixels, as annotated.
        crowd: (G,) bool: detections in such a region are neither right nor wrong.
        outlines: (G,) object array of RLE dicts, or (G, 4) boxes x, y, width, height.
    """

    images: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    outlines: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Detections:
    """What was predicted, the most certain first, equally certain ones by image.

    Attributes:
        images: (D,) int.
        labels: (D,) int.
        areas: (D,) in pixels, of the outlines.
        scores: (D,).
        outlines: as in `Objects`.
    """

    images: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    scores: np.ndarray
    outlines: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice | np.ndarray) -> 'Detections':
        return Detections(
            self.images[part], self.labels[part], self.areas[part], self.scores[part], self.outlines[part]
        )

    def counted(self) -> 'Detections':
        """Those that COCO counts: sorted, the `MAX_DETECTIONS` most certain of each image and class."""
        ordered = self[np.lexsort((self.images, -self.scores))]  # stable: the file's order is kept where all is equal
        return ordered[ranks(ordered.images, ordered.labels) < MAX_DETECTIONS]


class Pairs(NamedTuple):
    """Detections and objects that overlap: their indices (P,), (P,) and their IoU (P,).

    The IoU with a crowd region is the share of the detection that lies in it.
    """

    detections: np.ndarray
    objects: np.ndarray
    ious: np.ndarray

    def where(self, chosen: np.ndarray) -> 'Pairs':
        """The pairs that a mask (P,) chooses."""
        return Pairs(*(values[chosen] for values in self))


class Outcome(NamedTuple):
    """What became of detections and objects.

    Attributes:
        matches: (A, T, D) int32, the object of each detection, or -1.
        true: (A, T, D) bool: right.
        false: (A, T, D) bool: wrong. What is neither is not counted: in a crowd region, or of another size.
        expected: (A, G) bool: objects to be found.
    """

    matches: np.ndarray
    true: np.ndarray
    false: np.ndarray
    expected: np.ndarray


def ranks(*groups: np.ndarray) -> np.ndarray:
    """(D,) position of each entry among those that have the same values in all of ``groups``, (D,) each."""
    count = len(groups[0])
    order = np.lexsort(groups)
    first = np.ones(count, bool)
    first[1:] = np.any([group[order][1:] != group[order][:-1] for group in groups], axis=0)
    places = np.arange(count)
    result = np.empty(count, int)
    result[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    return result


def overlaps(detections: Detections, objects: Objects) -> Pairs:
    """All pairs of an image that overlap, whatever their classes."""
    found = [Pairs(np.empty(0, int), np.empty(0, int), np.empty(0))]
    predicted, annotated = by_image(detections.images), by_image(objects.images)
    for image in tqdm(sorted(predicted.keys() & annotated.keys()), 'overlaps', unit='image', delay=2, leave=False):
        some, others = predicted[image], annotated[image]
        outlines = detections.outlines[some], objects.outlines[others]
        if detections.outlines.ndim == 1:
            outlines = tuple(part.tolist() for part in outlines)
        ious = coco_mask.iou(*outlines, objects.crowd[others].astype(np.uint8))
        rows, columns = ious.nonzero()
        found.append(Pairs(some[rows], others[columns], ious[rows, columns]))
    return Pairs(*map(np.concatenate, zip(*found, strict=True)))


def by_image(images: np.ndarray) -> Mapping[int, np.ndarray]:
    """Indices of the entries of each image, in order."""
    order = np.argsort(images, kind='stable')
    names, starts = np.unique(images[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}


def same_class(pairs: Pairs, detections: Detections, objects: Objects) -> Pairs:
    """The pairs whose classes agree."""
    return pairs.where(detections.labels[pairs.detections] == objects.labels[pairs.objects])


def match(
    pairs: Pairs, turns: np.ndarray, ignored: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Give each detection an object, the most certain ones first.

    A detection takes the object that it overlaps most among those that no other has taken, and an ignored one only
    where no other is left. Crowd regions are never used up. All images and classes proceed at once.

    Args:
        pairs: P of them; detections with the same turn have no object in common.
        turns: (D,) when a detection chooses: its rank in its image and class.
        ignored: (A, G) bool, crowd regions included.
        crowd: (G,) bool.
        thresholds: (T,) IoU that is enough.

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
    """Match detections to objects of their class and see which are right.

    Args:
        detections: as `Detections.counted` gives them.
        objects: G of them.
        pairs: from `overlaps`.
        sizes: A ranges of areas in pixels, both ends included.
        thresholds: (T,).
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
    """As `evaluate` with any groups of objects in the place of sizes.

    Args:
        detections: as `Detections.counted` gives them.
        objects: G of them.
        pairs: from `overlaps`.
        outside: (A, G) bool, objects that a group is not about. What is matched to them is not counted.
        strange: (A, D) bool, detections that a group does not count where they are matched to nothing.
        thresholds: (T,).
    """
    ignored = objects.crowd | outside
    turns = ranks(detections.images, detections.labels)
    matches = match(same_class(pairs, detections, objects), turns, ignored, objects.crowd, thresholds)
    matched = matches >= 0
    unseen = np.zeros((len(outside), 1), bool)  # what -1 points at
    excused = np.concatenate([ignored, unseen], axis=1)[np.arange(len(outside))[:, None, None], matches]
    return Outcome(matches, matched & ~excused, ~matched & ~strange[:, None], ~ignored)
