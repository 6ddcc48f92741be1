"""COCO's average precision from matches, also of samples that hold an image several times or not at all.

Shape shorthand: I images, K classes, G objects, D detections, A size ranges, T IoU thresholds, S samples of images.
"""

import numpy as np

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.matching import Outcome

RECALLS = np.linspace(0, 1, 101)
BUDGET = 2**26  # bytes of one array


def average_precision(
    truth: Truth, detections: Detections, outcome: Outcome, weights: np.ndarray | None = None
) -> np.ndarray:
    """AP, interpolated at 101 recalls, for each sample of images.

    An image of weight 2 counts as two copies of it. Nothing is matched again: precision and recall at a right detection
    follow from sums of weights, and each right detection gives the precision of the recalls since the last one.

    Args:
        truth: I images, K classes, G objects.
        detections: D, the most certain first.
        outcome: of `evaluate` for all images.
        weights: (S, I) int, copies of each image; None for one sample, the data set itself.

    Returns:
        (S, A, T, K); nan where a sample has no object of a class.
    """
    weights = np.ones((1, len(truth.image_ids)), np.int32) if weights is None else weights
    objects, (sizes, thresholds) = truth.objects, outcome.true.shape[:2]
    result = np.full((len(weights), sizes, thresholds, len(truth.classes)), np.nan)
    for label in range(len(truth.classes)):
        mine = np.flatnonzero(detections.labels == label)
        for size, expected in enumerate(outcome.expected):
            totals = weights[:, objects.images[expected & (objects.labels == label)]].sum(axis=1)
            present = totals > 0
            for threshold in range(thresholds) if present.any() else ():
                true = outcome.true[size, threshold, mine]
                counted = np.flatnonzero(true | outcome.false[size, threshold, mine])
                curve = _area(true[counted], weights[:, detections.images[mine[counted]]], totals)
                result[present, size, threshold, label] = curve[present]
    return result


def _area(true: np.ndarray, weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """(S,) AP of n detections in order: (n,) bool that are right, (S, n) weights, (S,) numbers of objects to find."""
    right = np.flatnonzero(true)
    if not len(right):
        return np.zeros(len(totals))
    length = right[-1] + 1  # detections after the last right one change nothing
    found = np.cumsum(weights[:, right], axis=1, dtype=float)
    seen = np.cumsum(weights[:, :length], axis=1, dtype=float)[:, right]
    precision = found / np.maximum(seen, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / np.maximum(totals, 1)[:, None], side='right')
    return (precision * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)


def samples_at_once(detections: Detections) -> int:
    """The number of samples of images that stay within the byte budget."""
    largest = np.bincount(detections.labels).max(initial=1)
    return int(max(1, BUDGET // (8 * largest)))


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without nan, as of classes without objects; nan where there is nothing else."""
    present = ~np.isnan(values)
    return np.where(present, values, 0).sum(axis=-1) / np.where(present.any(axis=-1), present.sum(axis=-1), np.nan)
