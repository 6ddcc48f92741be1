"""The confusion matrix in cases made by hand, and its sums on published results."""

from pathlib import Path

import numpy as np
import pytest
from made_up_results import truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.confusion import confusion

# Class 0 and 1 in image 0, and a crowd of class 2 there.
OBJECTS = Objects(
    np.zeros(3, int),
    np.arange(3),
    np.array([100.0, 100, 2500]),
    np.array([False, False, True]),
    np.array([[0, 0, 10, 10], [30, 0, 10, 10], [50, 50, 50, 50]], float),
)


def matrix(*rows: tuple[int, float, tuple[float, ...]], score_thr: float = 0.3) -> list[list[int]]:
    """From (label, score, box) in image 0."""
    labels, scores, outlines = zip(*rows, strict=True) if rows else ((),) * 3
    outlines = np.array(outlines, float).reshape(-1, 4)
    detections = Detections(
        np.zeros(len(rows), int), np.array(labels, int), outlines[:, 2:].prod(1), np.array(scores), outlines
    ).counted()
    return confusion(truth_of(OBJECTS, images=1, classes=3), detections, score_thr=score_thr).matrix.tolist()


FIRST, SECOND, CROWD, NOWHERE = (0, 0, 10, 9), (30, 0, 10, 9), (60, 60, 10, 10), (80, 0, 10, 10)


@pytest.mark.parametrize(
    'rows, expected',
    [
        ([], {(0, 3): 1, (1, 3): 1}),
        ([(0, 0.9, FIRST), (1, 0.8, SECOND)], {(0, 0): 1, (1, 1): 1}),
        ([(2, 0.9, FIRST)], {(0, 2): 1, (1, 3): 1}),
        ([(0, 0.9, NOWHERE)], {(0, 3): 1, (1, 3): 1, (3, 0): 1}),
        ([(0, 0.2, FIRST)], {(0, 3): 1, (1, 3): 1}),  # not certain enough
        ([(0, 0.8, FIRST), (1, 0.9, FIRST)], {(0, 1): 1, (1, 3): 1, (3, 0): 1}),  # the most certain one has it
        ([(2, 0.9, CROWD)], {(0, 3): 1, (1, 3): 1}),  # not counted
        ([(1, 0.9, CROWD)], {(0, 3): 1, (1, 3): 1, (3, 1): 1}),  # the crowd is one of another class
    ],
)
def test_by_hand(rows, expected) -> None:
    wanted = np.zeros((4, 4), int)
    for place, count in expected.items():
        wanted[place] = count
    assert matrix(*rows) == wanted.tolist()


def test_sums(shared: Path) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    truth = read_truth(folder / 'instances_val2014_100.json', 'segm')
    detections = read_detections(folder / 'instances_val2014_fakesegm100_results.json', truth)
    counts = confusion(truth, detections, score_thr=0, iou_thr=0.5).matrix
    regular = truth.objects.labels[~truth.objects.crowd]
    assert counts[:-1].sum(axis=1).tolist() == np.bincount(regular, minlength=80).tolist()
    assert (counts[:, :-1].sum(axis=0) <= np.bincount(detections.labels, minlength=80)).all()
    assert counts[-1, -1] == 0
