"""Bins of scores equal a naive loop; scores that are probabilities have no error."""

from pathlib import Path

import numpy as np
import pytest
from made_up_results import made_up, truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.calibration import Calibration, calibration
from mmagg.evaluation.matching import evaluate, overlaps


def measure(detections: Detections, objects: Objects, bins: int = 10, iou_thr: float = 0.5) -> Calibration:
    return calibration(truth_of(objects), detections, iou_thr=iou_thr, bins=bins)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    inner = sides.clip(0).prod()
    return float(inner / (a[2:].prod() + b[2:].prod() - inner))


@pytest.mark.parametrize('bins, iou_thr', [(10, 0.5), (7, 0.7)])
def test_a_naive_loop(bins: int, iou_thr: float) -> None:
    objects, detections = made_up(5)
    outcome = evaluate(detections, objects, overlaps(detections, objects), thresholds=np.array([iou_thr]))
    members = [[] for _ in range(bins)]
    for place, score in enumerate(detections.scores):
        match = outcome.matches[0, 0, place]
        if match >= 0 and objects.crowd[match]:
            continue
        chosen = max(b for b in range(bins) if b / bins <= score)
        found = iou(detections.outlines[place], objects.outlines[match]) if match >= 0 else None
        members[chosen].append((score, found))
    assert sum(map(len, members)) < len(detections)  # some are in crowds
    error = located = 0
    result = measure(detections, objects, bins, iou_thr)
    for b, inside in enumerate(members):
        scores, ious = [score for score, _ in inside], [found for _, found in inside if found is not None]
        assert result.counts[b] == len(inside)
        if not inside:
            assert np.isnan([result.scores[b], result.precision[b], result.ious[b]]).all()
            continue
        expected = np.mean(scores), len(ious) / len(inside), np.mean(ious) if ious else np.nan
        assert (result.scores[b], result.precision[b], result.ious[b]) == pytest.approx(expected, nan_ok=True)
        error += len(inside) * abs(expected[0] - expected[1])
        located += len(inside) * abs(expected[0] - sum(ious) / len(inside))
    count = sum(map(len, members))
    assert (result.error, result.localisation_error) == pytest.approx((error / count, located / count))


def test_probabilities_have_no_error() -> None:
    """Of four detections with score 3/4 three are right, at IoU 1; of two with score 0.32 one, at IoU 0.64."""
    places = np.array([0, 20, 40, 60])
    objects = boxes([(x, 0, 10, 10) for x in places], Objects, crowd=np.zeros(4, bool))
    outlines = [(0, 0, 10, 10), (20, 0, 10, 10), (40, 0, 10, 10), (80, 0, 9, 9), (60, 0, 8, 8), (90, 0, 9, 9)]
    result = measure(boxes(outlines, Detections, scores=np.array([0.75] * 4 + [0.32] * 2)), objects, bins=4)
    assert result.counts.tolist() == [0, 2, 0, 4]  # an edge belongs to the bin above
    assert result.precision[[1, 3]].tolist() == [0.5, 0.75]
    assert result.ious[[1, 3]] == pytest.approx([0.64, 1])
    assert result.error == pytest.approx(2 / 6 * 0.18)
    assert result.localisation_error == pytest.approx(0)


def boxes(outlines: list, kind: type[Objects | Detections], **more: np.ndarray) -> Objects | Detections:
    """All in one image and of one class."""
    outlines, zeros = np.array(outlines, float), np.zeros(len(outlines), int)
    return kind(images=zeros, labels=zeros, areas=outlines[:, 2:].prod(axis=1), outlines=outlines, **more)


def test_no_detections_and_no_probabilities(tmp_path: Path) -> None:
    objects, detections = made_up(6)
    result = measure(detections[:0], objects)
    assert result.counts.tolist() == [0] * 10
    assert np.isnan([result.error, result.localisation_error]).all()
    for suffix in ('png', 'svg'):
        result.draw(tmp_path / f'chart.{suffix}', 'nothing')
        assert (tmp_path / f'chart.{suffix}').stat().st_size > 1000
    detections.scores[0] = 1.5
    with pytest.raises(ValueError, match='not all from 0 to 1'):
        measure(detections, objects)
