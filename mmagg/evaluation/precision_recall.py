"""Precision over recall as COCO interpolates it, and the score thresholds with the best F1.

Shape shorthand: K classes, G objects, D detections, T IoU thresholds, R = 101 recalls.
"""

from typing import NamedTuple

import numpy as np

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.average_precision import RECALLS
from mmagg.evaluation.matching import Outcome


class Curves(NamedTuple):
    """Precision at the recalls `RECALLS`; nan where a class has no object.

    Attributes:
        precision: (T, K, R), the largest at this recall or a higher one, 0 where it is not reached. Its mean over R is
            the AP.
        scores: (T, K, R), of the detection that reaches the recall, nan where none does.
    """

    precision: np.ndarray
    scores: np.ndarray


class BestF1(NamedTuple):
    """Which detections to keep for the best F1; the last column counts those of all classes together.

    Attributes:
        scores: (T, K + 1), keep detections from this score on; nan where none is right.
        f1: (T, K + 1), with these; nan where there is no object.
        precision: (T, K + 1), as ``f1``.
        recall: (T, K + 1), as ``f1``.
    """

    scores: np.ndarray
    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def precision_recall(outcome: Outcome, detections: Detections, objects: Objects, *, classes: int) -> Curves:
    """The curves of each class, as COCO's evaluation has them.

    Args:
        outcome: of `evaluate`; its first size range is taken.
        detections: D, the most certain first.
        objects: G.
        classes: K.
    """
    shape = outcome.true.shape[1], classes, len(RECALLS)
    curves = Curves(np.full(shape, np.nan), np.full(shape, np.nan))
    totals = _totals(outcome, objects, classes)
    for label in np.flatnonzero(totals):
        mine = np.flatnonzero(detections.labels == label)
        found, seen = _counts(outcome, mine)
        precision = found / np.maximum(seen, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        for threshold, recall in enumerate(found / totals[label]):
            places = np.searchsorted(recall, RECALLS)
            reached = places < len(mine)
            places = places[reached]
            curves.precision[threshold, label] = 0
            curves.precision[threshold, label, reached] = precision[threshold, places]
            curves.scores[threshold, label, reached] = detections.scores[mine[places]]
    return curves


def best_f1(outcome: Outcome, detections: Detections, objects: Objects, *, classes: int) -> BestF1:
    """The score thresholds with the best F1, the harmonic mean of precision and recall.

    Args:
        outcome: of `evaluate`; its first size range is taken.
        detections: D, the most certain first.
        objects: G.
        classes: K.
    """
    thresholds = np.arange(outcome.true.shape[1])
    best = BestF1(*np.full((4, len(thresholds), classes + 1), np.nan))
    totals = _totals(outcome, objects, classes)
    for label, total in enumerate([*totals, totals.sum()]):
        if not total:
            continue
        mine = np.flatnonzero(detections.labels == label) if label < classes else np.arange(len(detections))
        scores = detections.scores[mine]
        # A threshold takes all detections of a score or none. Place 0: none at all.
        last = np.append(0, np.flatnonzero(np.diff(scores, append=-np.inf)) + 1)
        found, seen = (np.pad(counts, ((0, 0), (1, 0)))[:, last] for counts in _counts(outcome, mine))
        f1 = 2 * found / (seen + total)
        chosen = f1.argmax(axis=1)
        values = np.append(np.nan, scores)[last], f1, found / np.maximum(seen, 1), found / total
        for result, value in zip(best, values, strict=True):
            result[:, label] = np.broadcast_to(value, f1.shape)[thresholds, chosen]
    return best


def _totals(outcome: Outcome, objects: Objects, classes: int) -> np.ndarray:
    """(K,) objects to find."""
    return np.bincount(objects.labels[outcome.expected[0]], minlength=classes)


def _counts(outcome: Outcome, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, n) of the first 1, 2, … n detections ``mine``: how many are right, and how many count."""
    true, false = outcome.true[0][:, mine], outcome.false[0][:, mine]
    return np.cumsum(true, axis=1), np.cumsum(true | false, axis=1)
