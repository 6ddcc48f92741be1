"""Are scores probabilities? Detections in bins of their score, against the share of them that is right.

Shape shorthand: D detections, P overlapping pairs, B bins.
"""

from typing import NamedTuple

import numpy as np

from mmagg.datasets.coco_objects import Detections
from mmagg.evaluation.matching import Outcome, Pairs


class Calibration(NamedTuple):
    """Detections by score. What is neither right nor wrong, as in a crowd region, is in no bin.

    Attributes:
        edges: (B + 1,) of the bins, from 0 to 1; a score on an edge is in the bin above it.
        counts: (B,) int.
        scores: (B,) mean score, nan in an empty bin.
        precision: (B,) share that is right, nan in an empty bin.
        ious: (B,) mean IoU of the right ones with their objects, nan where none is right.
        error: expected calibration error (ECE), the mean over the detections of |mean score − precision| of their bin.
        localisation_error: the same against precision × mean IoU: are scores the IoU that can be expected? It is the
            localisation-aware ECE of Oksuz et al., "Towards Building Self-Aware Object Detectors via Reliable
            Uncertainty Quantification and Calibration", CVPR 2023, with all classes taken together. Both errors are nan
            without detections.
    """

    edges: np.ndarray
    counts: np.ndarray
    scores: np.ndarray
    precision: np.ndarray
    ious: np.ndarray
    error: float
    localisation_error: float


def calibration(outcome: Outcome, detections: Detections, pairs: Pairs, *, bins: int = 10) -> Calibration:
    """Compare scores with what they promise.

    Args:
        outcome: of `evaluate`; its first size range and IoU threshold are taken.
        detections: D, with scores from 0 to 1.
        pairs: from `overlaps`.
        bins: B, of equal width.

    Raises:
        ValueError: a score is not from 0 to 1.
    """
    if len(detections) and not 0 <= detections.scores.min() <= detections.scores.max() <= 1:
        raise ValueError('scores are not all from 0 to 1')
    true = outcome.true[0, 0]
    counted = true | outcome.false[0, 0]
    pairs = pairs.where(outcome.matches[0, 0][pairs.detections] == pairs.objects)
    iou = np.zeros(len(detections))
    iou[pairs.detections] = pairs.ious
    edges = np.arange(bins + 1) / bins  # linspace's 0.3 is more than 0.3
    places = np.minimum(np.searchsorted(edges, detections.scores[counted], side='right') - 1, bins - 1)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(places, values[counted], minlength=bins)

    counts, right = np.bincount(places, minlength=bins), sums(true)
    scores, ious = sums(detections.scores), sums(iou * true)
    with np.errstate(invalid='ignore'):  # 0 / 0 is nan, as promised
        return Calibration(
            edges,
            counts,
            scores / counts,
            right / counts,
            ious / right,
            float(np.abs(scores - right).sum() / counts.sum()),
            float(np.abs(scores - ious).sum() / counts.sum()),
        )
