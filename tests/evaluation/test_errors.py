"""Each kind of error in a case made by hand, and true outlines against pycocotools with replaced masks."""

import numpy as np
import pytest
from made_up_results import truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.errors import KINDS, ErrorAnalysis, error_analysis, with_true_outlines
from mmagg.evaluation.matching import overlaps

# Two images; image 0 has an object of class 0 and one of class 1, image 1 one of class 0.
OBJECTS = Objects(
    np.array([0, 0, 1]),
    np.array([0, 1, 0]),
    np.full(3, 100.0),
    np.zeros(3, bool),
    np.array([[0, 0, 10, 10], [50, 50, 10, 10], [0, 0, 10, 10]], float),
)
PERFECT = [(0, 0, 0.9, (0, 0, 10, 10)), (0, 1, 0.8, (50, 50, 10, 10)), (1, 0, 0.7, (0, 0, 10, 10))]


def make(*rows: tuple[int, int, float, tuple[float, ...]]) -> Detections:
    """Detections from (image, label, score, box)."""
    images, labels, scores, outlines = zip(*rows, strict=True) if rows else ((),) * 4
    outlines = np.array(outlines, float).reshape(-1, 4)
    areas = outlines[:, 2:].prod(axis=1)
    return Detections(np.array(images, int), np.array(labels, int), areas, np.array(scores), outlines).counted()


def analyse(*rows, objects: Objects = OBJECTS) -> ErrorAnalysis:
    return error_analysis(truth_of(objects, images=2, classes=2), make(*rows))


def counts(report: ErrorAnalysis) -> dict[str, int]:
    return {kind: error.count for kind, error in report.errors.items() if error.count}


def test_perfect_results_have_no_errors() -> None:
    report = analyse(*PERFECT)
    assert list(report.errors) == list(KINDS)
    assert counts(report) == {}
    assert report.ap == report.as_predicted['AP'] == report.true_outlines['AP'] == pytest.approx(1)
    assert all(error.gain == 0 for error in report.errors.values())


@pytest.mark.parametrize(
    'extra, kind',
    [
        ((0, 0, 0.95, (0, 0, 10, 9)), 'duplicate'),  # more certain than the perfect one, which becomes the duplicate
        ((0, 0, 0.95, (30, 30, 5, 5)), 'background'),
        ((0, 0, 0.95, (5, 0, 10, 10)), 'localisation'),  # IoU 1/3
        ((0, 0, 0.95, (50, 50, 10, 10)), 'classification'),
        ((0, 0, 0.95, (55, 50, 10, 10)), 'both'),
        ((1, 1, 0.95, (0, 9.5, 10, 10)), 'background'),  # IoU below 0.1
    ],
)
def test_one_more_detection_is_one_error(extra, kind: str) -> None:
    report = analyse(*PERFECT, extra)
    assert counts(report) == {kind: 1}
    gains = {name: error.gain for name, error in report.errors.items()}
    assert report.ap + gains.pop(kind) == pytest.approx(1)
    assert set(gains.values()) == {0}


def test_a_wrong_class_or_place_is_no_missed_object() -> None:
    wrong_class = analyse(PERFECT[0], (0, 0, 0.8, (50, 50, 10, 10)), PERFECT[2])
    assert counts(wrong_class) == {'classification': 1}
    wrong_place = analyse(PERFECT[0], PERFECT[1], (1, 0, 0.7, (5, 0, 10, 10)))
    assert counts(wrong_place) == {'localisation': 1}
    for report, kind in ((wrong_class, 'classification'), (wrong_place, 'localisation')):
        assert report.ap < 1
        assert report.ap + report.errors[kind].gain == pytest.approx(1)


def test_of_several_meant_for_one_object_only_the_first_is_corrected() -> None:
    report = analyse(
        PERFECT[1], PERFECT[2], (0, 0, 0.5, (5, 0, 10, 10)), (0, 0, 0.4, (4, 0, 10, 10)), (0, 0, 0.3, (0, 5, 10, 10))
    )
    assert counts(report) == {'localisation': 3}
    assert report.ap + report.errors['localisation'].gain == pytest.approx(1)


def test_missed_objects() -> None:
    report = analyse(*PERFECT[:2])
    assert counts(report) == {'missed': 1}
    # Class 0: one of two found, so 51 of the 101 recalls; class 1 is perfect.
    assert report.ap == pytest.approx((51 / 101 + 1) / 2)
    assert report.errors['missed'].gain == pytest.approx(1 - report.ap)


def test_no_detections_and_no_objects() -> None:
    report = analyse()
    assert counts(report) == {'missed': 3}
    assert report.ap == 0
    assert report.errors['missed'].gain == 1
    empty = Objects(np.empty(0, int), np.empty(0, int), np.empty(0), np.empty(0, bool), np.empty((0, 4)))
    report = analyse(*PERFECT, objects=empty)
    assert counts(report) == {'background': 3}
    assert np.isnan([report.ap, report.true_outlines['AP'], report.errors['background'].gain]).all()


def test_what_lies_in_a_crowd_is_no_error() -> None:
    objects = Objects(
        np.append(OBJECTS.images, 1),
        np.append(OBJECTS.labels, 0),
        np.append(OBJECTS.areas, 2500),
        np.append(OBJECTS.crowd, True),
        np.append(OBJECTS.outlines, [[40, 40, 50, 50]], axis=0),
    )
    assert counts(analyse(*PERFECT, (1, 0, 0.9, (45, 45, 9, 9)), objects=objects)) == {}
    # The region is one of class 0: what else lies in it is on background.
    assert counts(analyse(*PERFECT, (1, 1, 0.9, (45, 45, 9, 9)), objects=objects)) == {'background': 1}


def test_outlines_are_replaced_by_the_best_of_their_class() -> None:
    detections = make(
        (0, 0, 0.9, (8, 8, 10, 10)),  # barely on the object of class 0
        (0, 1, 0.8, (2, 2, 10, 10)),  # on the object of class 0 alone
        (1, 0, 0.7, (1, 0, 10, 10)),
    )
    replaced = with_true_outlines(detections, OBJECTS, overlaps(detections, OBJECTS))
    assert replaced.outlines.tolist() == [[0, 0, 10, 10], [2, 2, 10, 10], [0, 0, 10, 10]]
    assert replaced.areas.tolist() == [100, 100, 100]
    report = error_analysis(truth_of(OBJECTS, images=2, classes=2), detections)
    assert report.true_outlines == pytest.approx({'AP': 0.5, 'AP50': 0.5, 'AP75': 0.5})
    assert report.as_predicted['AP'] < 0.25
