"""Where AP is lost: masks replaced by the truth (SOLO, Table 7), and kinds of errors in the manner of TIDE.

TIDE: Bolya et al., "A General Toolbox for Identifying Object Detection Errors", ECCV 2020.

Shape shorthand: G objects, D detections, P overlapping pairs, K classes.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pycocotools.mask as coco_mask

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.average_precision import average_precision, mean_over_classes, once
from mmagg.evaluation.matching import THRESHOLDS, Outcome, Pairs, evaluate, overlaps, same_class

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
BACKGROUND = 0.1  # IoU below which a detection has to do with no object


class KindOfError(NamedTuple):
    """How often an error happens, and the AP that mending it alone gains."""

    kind: str
    count: int
    gain: float


class Errors(NamedTuple):
    """What is wrong.

    Attributes:
        kinds: (D,) int, index in `KINDS`; -1 where a detection is right or not counted.
        targets: (D,) int, the object that a wrong class or place was meant for; -1 for other errors.
        missed: (G,) bool: objects that no detection found, and none of a wrong class or place.
    """

    kinds: np.ndarray
    targets: np.ndarray
    missed: np.ndarray

    def counts(self) -> np.ndarray:
        """(6,) errors of each kind."""
        found = np.bincount(self.kinds[self.kinds >= 0], minlength=len(KINDS))
        found[KINDS.index('missed')] = self.missed.sum()
        return found


def summary(detections: Detections, objects: Objects, pairs: Pairs, *, images: int, classes: int) -> dict[str, float]:
    """AP, AP50 and AP75, as fractions; nan where nothing is annotated."""
    outcome = evaluate(detections, objects, pairs)
    values = mean_over_classes(average_precision(outcome, detections, objects, once(images), classes=classes)[0, 0])
    return {'AP': values.mean(), 'AP50': values[0], 'AP75': values[np.isclose(THRESHOLDS, 0.75)].item()}


def with_true_outlines(detections: Detections, objects: Objects, pairs: Pairs) -> Detections:
    """Replace each outline by that of the object of its class that it overlaps most (SOLO, section 3.5).

    What overlaps no such object keeps its own outline, and so does what lies in a crowd region more than on any
    object: there it is not counted, as before.
    """
    pairs = same_class(pairs, detections, objects)
    order = np.lexsort((pairs.ious, pairs.detections))
    last = np.flatnonzero(np.diff(pairs.detections[order], append=len(detections)))
    mine, best = pairs.detections[order][last], pairs.objects[order][last]
    mine, best = mine[~objects.crowd[best]], best[~objects.crowd[best]]
    outlines, areas = detections.outlines.copy(), detections.areas.copy()
    outlines[mine] = objects.outlines[best]
    if outlines.ndim == 1:
        areas[mine] = [coco_mask.area(rle) for rle in outlines[mine]]
    else:
        areas[mine] = outlines[mine, 2:].prod(axis=1)
    return replace(detections, outlines=outlines, areas=areas)


def sort_errors(outcome: Outcome, detections: Detections, objects: Objects, pairs: Pairs, *, iou_thr: float) -> Errors:
    """Sort what is wrong into TIDE's kinds (section 2.2).

    A wrong detection that overlaps an object of its class by `BACKGROUND` to ``iou_thr`` at best is localisation;
    otherwise one that overlaps an object of another class by ``iou_thr`` is classification; one that overlaps an
    object of its class by ``iou_thr``, which a more certain one has found, is a duplicate; one that overlaps nothing
    by `BACKGROUND` is background; the rest is both.

    Args:
        outcome: of `evaluate` at ``iou_thr`` alone.
        detections: D.
        objects: G.
        pairs: from `overlaps`.
        iou_thr: IoU that is enough.
    """
    wrong, matches = outcome.false[0, 0], outcome.matches[0, 0]
    pairs = pairs.where(~objects.crowd[pairs.objects])
    agree = detections.labels[pairs.detections] == objects.labels[pairs.objects]
    own_iou, own = _best(pairs.where(agree), len(detections))
    other_iou, other = _best(pairs.where(~agree), len(detections))
    kinds = np.select(
        [
            ~wrong,
            (own_iou >= BACKGROUND) & (own_iou < iou_thr),
            other_iou >= iou_thr,
            own_iou >= iou_thr,
            np.maximum(own_iou, other_iou) < BACKGROUND,
        ],
        [-1, *(KINDS.index(kind) for kind in ('localisation', 'classification', 'duplicate', 'background'))],
        KINDS.index('both'),
    )
    meant = [kinds == KINDS.index('localisation'), kinds == KINDS.index('classification')]
    targets = np.select(meant, [own, other], -1)
    missed = outcome.expected[0].copy()
    missed[matches[matches >= 0]] = False
    missed[targets[targets >= 0]] = False
    return Errors(kinds, targets, missed)


def _best(pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """IoU and object (D,) of the largest overlap of each detection; 0 and -1 without one."""
    ious, objects = np.zeros(count), np.full(count, -1)
    order = np.argsort(pairs.ious, kind='stable')
    ious[pairs.detections[order]] = pairs.ious[order]  # the last one written stays
    objects[pairs.detections[order]] = pairs.objects[order]
    return ious, objects


def kinds_of_errors(
    detections: Detections, objects: Objects, pairs: Pairs, *, iou_thr: float, images: int, classes: int
) -> tuple[float, list[KindOfError]]:
    """AP at one IoU threshold, and for each kind of errors its count and what mending it alone adds to that AP.

    Mending (TIDE, section 2.3): a wrong class or place is corrected, where the object is not found yet, for the most
    certain detection that was meant for it, and taken away otherwise; other wrong detections are taken away; missed
    objects are no longer expected.

    Args:
        detections: D.
        objects: G.
        pairs: from `overlaps`.
        iou_thr: IoU that is enough.
        images: I.
        classes: K.
    """
    outcome = evaluate(detections, objects, pairs, thresholds=np.array([iou_thr]))
    errors = sort_errors(outcome, detections, objects, pairs, iou_thr=iou_thr)

    def aps(outcome: Outcome, detections: Detections) -> np.ndarray:
        return average_precision(outcome, detections, objects, once(images), classes=classes)[0, 0, 0]

    before = aps(outcome, detections)
    flawless = np.bincount(detections.labels[outcome.false[0, 0]], minlength=classes) == 0
    kinds = []
    for index, (kind, count) in enumerate(zip(KINDS, errors.counts().tolist(), strict=True)):
        after = aps(*mended(index, errors, outcome, detections, objects))
        # A class may have no object left to be found: then it is perfect unless something wrong is detected.
        after = np.where(np.isnan(after) & ~np.isnan(before), flawless, after)
        kinds.append(KindOfError(kind, count, float(mean_over_classes(after) - mean_over_classes(before))))
    return float(mean_over_classes(before)), kinds


def mended(
    kind: int, errors: Errors, outcome: Outcome, detections: Detections, objects: Objects
) -> tuple[Outcome, Detections]:
    """What would have become of the detections without the errors of one kind."""
    if KINDS[kind] == 'missed':
        return outcome._replace(expected=outcome.expected & ~errors.missed), detections
    mine = errors.kinds == kind
    false = outcome.false & ~mine
    matches = outcome.matches[0, 0]
    unfound = np.ones(len(objects) + 1, bool)
    unfound[matches[matches >= 0]] = False
    meant = np.flatnonzero(mine & (errors.targets >= 0) & unfound[errors.targets])
    targets, first = np.unique(errors.targets[meant], return_index=True)  # the first is the most certain
    corrected = meant[first]
    true, labels = outcome.true.copy(), detections.labels.copy()
    true[..., corrected] = True
    labels[corrected] = objects.labels[targets]
    return outcome._replace(true=true, false=false), replace(detections, labels=labels)


def analyse_errors(
    detections: Detections, objects: Objects, *, images: int, classes: int, iou_thr: float = 0.5
) -> dict:
    """Both analyses, ready for JSON, with fractions and None where there is no AP.

    Returns:
        ``as_predicted`` and ``true_outlines``: dicts of AP, AP50, AP75; ``iou_thr``, ``ap`` at it, and ``errors``: for
        each kind its ``count`` and ``gain``.
    """
    pairs = overlaps(detections, objects)
    replaced = with_true_outlines(detections, objects, pairs)
    counts = dict(images=images, classes=classes)
    ap, kinds = kinds_of_errors(detections, objects, pairs, iou_thr=iou_thr, **counts)
    predicted = summary(detections, objects, pairs, **counts)
    true = summary(replaced, objects, overlaps(replaced, objects), **counts)
    return {
        'as_predicted': {name: _number(value) for name, value in predicted.items()},
        'true_outlines': {name: _number(value) for name, value in true.items()},
        'iou_thr': iou_thr,
        'ap': _number(ap),
        'errors': {kind: {'count': count, 'gain': _number(gain)} for kind, count, gain in kinds},
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
