"""A paired bootstrap over images: the interval of the difference in AP between two results.

Shape shorthand: I images, K classes, A size ranges, S samples of images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes, samples_at_once
from mmagg.evaluation.matching import SIZES, Outcome, evaluate, overlaps

INTERVAL = (2.5, 97.5)  # per cent
FEWEST_IMAGES = 5  # with objects: samples of fewer are too much alike, an interval would pretend certainty


@dataclass(frozen=True)
class Judged:
    """Detections and their `Outcome` at all of COCO's `SIZES` and thresholds."""

    detections: Detections
    outcome: Outcome


class Differences(NamedTuple):
    """AP of A and B in arrays (A, K + 1), whose last column is the mean over the classes.

    Attributes:
        a: AP of the first result, nan where there is no such object.
        b: AP of the second one.
        low: end of the 95 % interval of b − a, nan where less than `FEWEST_IMAGES` have such objects.
        high: the other end.
        above: share of the samples in which b is more than a.
        images: int, number of images with such objects.
    """

    a: np.ndarray
    b: np.ndarray
    low: np.ndarray
    high: np.ndarray
    above: np.ndarray
    images: np.ndarray


def judge(truth: Truth, detections: Detections) -> Judged:
    """Match detections to objects at all sizes and thresholds of COCO."""
    pairs = overlaps(detections, truth.objects)
    return Judged(detections, evaluate(detections, truth.objects, pairs, sizes=list(SIZES.values())))


def ap_of_samples(truth: Truth, judged: Judged, weights: np.ndarray | None = None) -> np.ndarray:
    """COCO's AP, (S, A, K + 1) with the mean over classes last, from weights of images (S, I)."""
    aps = average_precision(truth, judged.detections, judged.outcome, weights).mean(axis=2)
    return np.concatenate([aps, mean_over_classes(aps)[..., None]], axis=-1)


def bootstrap(truth: Truth, a: Judged, b: Judged, *, samples: int, seed: int = 0) -> Differences:
    """ΔAP between two results with a 95 % percentile interval, from samples of I images with replacement.

    Both results are scored on the same images in each sample (paired), so that images which are hard for both do not
    widen the interval. A sample without an object of a class is left out for that class.

    Args:
        truth: I images, K classes, G objects.
        a: from `judge`.
        b: from `judge`, on the same objects.
        samples: S.
        seed: of the random samples.
    """
    images = len(truth.image_ids)
    generator = np.random.default_rng(seed)
    step = min(samples_at_once(a.detections), samples_at_once(b.detections))
    parts = []
    with tqdm(total=samples, desc='bootstrap', unit='sample', delay=2, leave=False) as bar:
        for start in range(0, samples, step):
            count = min(step, samples - start)
            weights = generator.multinomial(images, np.full(images, 1 / images), size=count).astype(np.int32)
            first, second = (ap_of_samples(truth, judged, weights) for judged in (a, b))
            parts.append(second - first)
            bar.update(count)
    deltas = np.concatenate(parts)
    known = ~np.isnan(deltas)
    where = _images_with(truth, a.outcome)
    told = known.any(axis=0) & (where >= FEWEST_IMAGES)
    low, high, above = np.full((3, *deltas.shape[1:]), np.nan)
    if told.any():
        low[told], high[told] = np.nanpercentile(deltas[:, told], INTERVAL, axis=0)
    above[told] = (deltas > 0).sum(axis=0)[told] / known.sum(axis=0)[told]
    once_a, once_b = (ap_of_samples(truth, judged)[0] for judged in (a, b))
    return Differences(once_a, once_b, low, high, above, where)


def _images_with(truth: Truth, outcome: Outcome) -> np.ndarray:
    """(A, K + 1) numbers of images that have an object to be found of a class, or of any class."""
    objects, classes = truth.objects, len(truth.classes)
    counts = np.zeros((len(outcome.expected), classes + 1), int)
    for size, expected in enumerate(outcome.expected):
        places = np.unique(np.stack([objects.labels, objects.images])[:, expected], axis=1)
        counts[size, :-1] = np.bincount(places[0], minlength=classes)
        counts[size, -1] = len(np.unique(places[1]))
    return counts
