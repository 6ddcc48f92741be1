"""Two result files on the same images: a paired bootstrap of ΔAP, and the images that changed most.

Shape shorthand: I images, K classes, G objects, D detections, A size ranges, T IoU thresholds, S samples of images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.average_precision import average_precision, mean_over_classes, once, samples_at_once
from mmagg.evaluation.matching import SIZES, Outcome, evaluate, overlaps

INTERVAL = (2.5, 97.5)  # per cent
FEWEST_IMAGES = 5  # with objects: samples of fewer are too much alike, an interval would pretend certainty


@dataclass(frozen=True)
class Judged:
    """Detections and what became of them at all `SIZES` and thresholds; nothing is matched after this."""

    detections: Detections
    outcome: Outcome


class Change(NamedTuple):
    """What changed in an image from A to B.

    Attributes:
        image: its index.
        change: how much: the difference of the scores with which each object is found, plus that of the sum of the
            scores of wrong detections, both averaged over the IoU thresholds.
        better: the same with signs: more than 0 where objects are found more surely or less is wrong.
        gained: objects that only B finds, at IoU 0.5.
        lost: objects that only A finds.
        wrong_a: wrong detections of A, at IoU 0.5.
        wrong_b: the same of B.
    """

    image: int
    change: float
    better: float
    gained: int
    lost: int
    wrong_a: int
    wrong_b: int


class Differences(NamedTuple):
    """AP of A and B; the last column of each array is the mean over the classes.

    Attributes:
        a: (A, K + 1), nan where there is no such object.
        b: the same.
        low: (A, K + 1), end of the 95 % interval of b − a, nan where less than `FEWEST_IMAGES` have such objects.
        high: the other end.
        above: (A, K + 1), share of the samples in which b is more than a.
        images: (A, K + 1) int, images with such objects.
    """

    a: np.ndarray
    b: np.ndarray
    low: np.ndarray
    high: np.ndarray
    above: np.ndarray
    images: np.ndarray


def judge(detections: Detections, objects: Objects) -> Judged:
    """Match once, at all sizes and thresholds of COCO."""
    pairs = overlaps(detections, objects)
    return Judged(detections, evaluate(detections, objects, pairs, sizes=list(SIZES.values())))


def ap_of_samples(judged: Judged, objects: Objects, weights: np.ndarray, *, classes: int) -> np.ndarray:
    """COCO's AP, (S, A, K + 1) with the mean over classes last, from image counts (S, I)."""
    outcome, detections = judged.outcome, judged.detections
    aps = average_precision(outcome, detections, objects, weights, classes=classes).mean(axis=2)
    return np.concatenate([aps, mean_over_classes(aps)[..., None]], axis=-1)


def bootstrap(
    a: Judged, b: Judged, objects: Objects, *, images: int, classes: int, samples: int, seed: int = 0
) -> Differences:
    """ΔAP between two results with a 95 % percentile interval, from samples of I images with replacement.

    Both results see the same images in each sample (paired), so that what is hard for both does not widen the
    interval. A sample without an object of a class says nothing about that class.

    Args:
        a: from `judge`.
        b: on the same objects.
        objects: G.
        images: I.
        classes: K.
        samples: S.
        seed: of the random samples.
    """
    generator = np.random.default_rng(seed)
    step = min(samples_at_once(a.detections), samples_at_once(b.detections))
    parts = []
    with tqdm(total=samples, desc='bootstrap', unit='sample', delay=2, leave=False) as bar:
        for start in range(0, samples, step):
            count = min(step, samples - start)
            weights = generator.multinomial(images, np.full(images, 1 / images), size=count).astype(np.int32)
            first, second = (ap_of_samples(judged, objects, weights, classes=classes) for judged in (a, b))
            parts.append(second - first)
            bar.update(count)
    deltas = np.concatenate(parts)
    known = ~np.isnan(deltas)
    where = _images_with(a.outcome, objects, classes=classes)
    told = known.any(axis=0) & (where >= FEWEST_IMAGES)
    low, high, above = np.full((3, *deltas.shape[1:]), np.nan)
    if told.any():
        low[told], high[told] = np.nanpercentile(deltas[:, told], INTERVAL, axis=0)
    above[told] = (deltas > 0).sum(axis=0)[told] / known.sum(axis=0)[told]
    once_a, once_b = (ap_of_samples(judged, objects, once(images), classes=classes)[0] for judged in (a, b))
    return Differences(once_a, once_b, low, high, above, where)


def _images_with(outcome: Outcome, objects: Objects, *, classes: int) -> np.ndarray:
    """(A, K + 1) images that have an object to be found of a class, or of any."""
    counts = np.zeros((len(outcome.expected), classes + 1), int)
    for size, expected in enumerate(outcome.expected):
        places = np.unique(np.stack([objects.labels, objects.images])[:, expected], axis=1)
        counts[size, :-1] = np.bincount(places[0], minlength=classes)
        counts[size, -1] = len(np.unique(places[1]))
    return counts


def changed_images(a: Judged, b: Judged, objects: Objects, *, images: int) -> list[Change]:
    """The images with a change, the largest first."""
    finds = [_scores_of_objects(judged, len(objects)) for judged in (a, b)]
    wrong = [_wrong(judged, images) for judged in (a, b)]
    more_found, more_wrong = finds[1] - finds[0], wrong[1][0] - wrong[0][0]
    change = np.bincount(objects.images, abs(more_found), minlength=images) + abs(more_wrong)
    better = np.bincount(objects.images, more_found, minlength=images) - more_wrong
    found = [_found(judged, len(objects)) for judged in (a, b)]
    gained = np.bincount(objects.images, found[1] & ~found[0], minlength=images)
    lost = np.bincount(objects.images, found[0] & ~found[1], minlength=images)
    order = np.argsort(-change, kind='stable')
    columns = (change, better, gained, lost, wrong[0][1], wrong[1][1])
    types = (float, float, int, int, int, int)
    return [
        Change(int(image), *(kind(column[image]) for kind, column in zip(types, columns, strict=True)))
        for image in order[change[order] > 1e-9]
    ]


def _scores_of_objects(judged: Judged, count: int) -> np.ndarray:
    """(G,) score of the detection that finds an object, averaged over the thresholds; 0 where none does."""
    matches, true = judged.outcome.matches[0], judged.outcome.true[0]
    scores = np.broadcast_to(judged.detections.scores, true.shape)
    return np.bincount(matches[true], scores[true], minlength=count) / len(true)


def _found(judged: Judged, count: int) -> np.ndarray:
    """(G,) bool, at the first threshold."""
    found = np.zeros(count, bool)
    found[judged.outcome.matches[0, 0][judged.outcome.true[0, 0]]] = True
    return found


def _wrong(judged: Judged, images: int) -> tuple[np.ndarray, np.ndarray]:
    """(I,) scores of wrong detections, averaged over the thresholds, and (I,) their number at the first one."""
    false, where = judged.outcome.false[0], judged.detections.images
    scores = judged.detections.scores * false.mean(axis=0)
    return np.bincount(where, scores, minlength=images), np.bincount(where, false[0], minlength=images)
