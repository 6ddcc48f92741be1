"""The panoptic quality of each image's confident detections (Panoptic Segmentation, Eq. 1; Kirillov et al., CVPR 2019).

It is taken of an image, over all classes.

Shape shorthand: I images, G objects, D detections.
"""

from typing import NamedTuple

import numpy as np

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.matching import evaluate, overlaps, same_class
from mmagg.io.errors import check_fraction

ENOUGH = np.array([0.5])  # IoU: above it, no two disjoint masks could be the same object's


class ImageQuality(NamedTuple):
    """The quality of each image, and the counts behind it.

    Attributes:
        quality: (I,) sum of the IoU of found objects over (found + missed / 2 + wrong / 2), in [0, 1]; nan where there
            is no object and no detection.
        found: (I,) int, objects that a detection of their class overlaps by 0.5.
        missed: (I,) int, the others, without crowd regions.
        wrong: (I,) int, detections of no object.
    """

    quality: np.ndarray
    found: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


def image_quality(truth: Truth, detections: Detections, *, score_thr: float = 0.3) -> ImageQuality:
    """The quality of each image.

    Args:
        truth: I images, G objects.
        detections: D, as `Detections.counted` gives them.
        score_thr: detections with a lower score are left out; from 0 to 1.

    Raises:
        InputError: `score_thr` is out of range.
    """
    check_fraction(score_thr, 'score_thr')
    objects, images = truth.objects, len(truth.image_ids)
    detections = detections[detections.scores >= score_thr]
    pairs = overlaps(detections, objects)
    outcome = evaluate(detections, objects, pairs, thresholds=ENOUGH)
    true, wrong, matches = outcome.true[0, 0], outcome.false[0, 0], outcome.matches[0, 0]
    pairs = same_class(pairs, detections, objects)
    pairs = pairs.where(true[pairs.detections] & (matches[pairs.detections] == pairs.objects))

    def count(of: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(of, weights, minlength=images)

    found = count(detections.images[true])
    missed = count(objects.images[outcome.expected[0]]) - found
    mistaken = count(detections.images[wrong])
    total = found + (missed + mistaken) / 2
    ious = count(objects.images[pairs.objects], pairs.ious)
    return ImageQuality(np.where(total > 0, ious / np.where(total > 0, total, 1), np.nan), found, missed, mistaken)


def extremes(quality: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Indices of `count` images each with the `best`, the `median` and the `worst` quality (I,), none of them twice.

    Each list falls in quality. Images whose quality is nan are left out; if there are too few, each list has a third.
    """
    order = np.argsort(-quality, kind='stable')[: np.isfinite(quality).sum()]  # nan comes last
    if len(order) <= 3 * count:
        parts = np.array_split(order, 3)
    else:
        middle = (len(order) - count) // 2
        parts = [order[:count], order[middle : middle + count], order[-count:]]
    return dict(zip(('best', 'median', 'worst'), parts, strict=True))
