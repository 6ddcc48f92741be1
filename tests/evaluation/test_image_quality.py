"""Panoptic quality of images, against sums by hand."""

import numpy as np
import pytest
from made_up_results import truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.image_quality import extremes, image_quality


def boxes(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def test_quality_of_images() -> None:
    # Image 0: one object found with IoU 0.8, one missed, one detection of another class. 1: a crowd region alone, with
    # a detection in it. 2: a detection on background. 3: found exactly, and a detection that is not certain enough.
    objects = Objects(
        images=np.array([0, 0, 1, 3]),
        labels=np.array([0, 1, 0, 1]),
        areas=np.array([100.0, 100, 900, 100]),
        crowd=np.array([False, False, True, False]),
        outlines=boxes([[0, 0, 10, 10], [50, 50, 10, 10], [0, 0, 30, 30], [5, 5, 10, 10]]),
    )
    found = Detections(
        images=np.array([0, 0, 1, 2, 3, 3]),
        labels=np.array([0, 0, 0, 1, 1, 1]),
        areas=np.array([80.0, 100, 100, 100, 100, 100]),
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.2]),
        outlines=boxes(
            [[0, 0, 10, 8], [50, 50, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 10, 10], [80, 80, 10, 10]]
        ),
    )
    result = image_quality(truth_of(objects, images=5, classes=2), found.counted(), score_thr=0.3)
    np.testing.assert_allclose(result.quality, [0.8 / (1 + 0.5 + 0.5), np.nan, 0, 1, np.nan])
    assert result.found.tolist() == [1, 0, 0, 1, 0]
    assert result.missed.tolist() == [1, 0, 0, 0, 0]
    assert result.wrong.tolist() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize('images', [0, 1, 2, 5, 6, 7, 50])
def test_extremes_are_apart_and_in_order(images: int) -> None:
    quality = np.random.default_rng(images).permutation(images) / 50
    quality = np.append(quality, np.nan)
    chosen = extremes(quality, 2)
    indices = np.concatenate(list(chosen.values()))
    assert len(set(indices.tolist())) == len(indices) == min(images, 6)
    assert images not in indices
    assert (np.diff(quality[indices]) < 0).all()
    if images == 50:
        np.testing.assert_allclose(quality[chosen['median']], [0.5, 0.48])
        np.testing.assert_allclose(quality[chosen['worst']], [0.02, 0])
