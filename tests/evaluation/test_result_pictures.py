"""What became of objects and detections, and how pictures show it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up_results import SIDE, ellipse, truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.evaluation.comparison import compare
from mmagg.evaluation.image_quality import image_quality
from mmagg.evaluation.result_pictures import OF_DETECTIONS, OF_OBJECTS, judged, side_by_side
from mmagg.visualization.titled_row import HEADER

# Four objects in the corners and a crowd in the middle: found, found under another name, found badly, not at all.
BOXES = np.array([[0, 0, 40, 40], [60, 0, 40, 40], [0, 60, 40, 40], [60, 60, 40, 40], [44, 44, 12, 12]], float)
OBJECTS = Objects(np.zeros(5, int), np.zeros(5, int), np.full(5, 1600.0), np.arange(5) == 4, BOXES)
FOUND = np.array([[0, 0, 40, 40], [60, 0, 40, 40], [0, 60, 15, 15], [45, 45, 8, 8]], float)
DETECTIONS = Detections(
    np.zeros(4, int), np.array([0, 1, 0, 0]), FOUND[:, 2:].prod(axis=1), np.array([0.9, 0.8, 0.7, 0.6]), FOUND
)
TRUTH = replace(truth_of(OBJECTS, images=1, classes=2), names=('a.png',), classes=('cat', 'dog'))


def with_masks(things: Objects | Detections) -> Objects | Detections:
    return replace(things, outlines=np.array([ellipse(box) for box in things.outlines], object))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((SIDE, SIDE, 3), 128, np.uint8))
    return tmp_path


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) bool, pixels of a mask in the colour over grey."""
    return (abs(picture - (0.55 * 128 + 0.45 * np.array(colour))) <= 2).all(axis=2)


def test_verdicts_and_the_counts_of_the_report_agree() -> None:
    verdicts, found = judged(OBJECTS, DETECTIONS)
    assert verdicts.tolist() == ['right', 'wrong class', 'false alarm', 'not counted']
    assert found.tolist() == [True, False, False, False, False]
    quality = image_quality(TRUTH, DETECTIONS)
    assert (quality.found[0], quality.missed[0], quality.wrong[0]) == (1, 3, 2)


def test_colours_show_the_verdicts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmagg.visualization.overlay.draw_labels', lambda *_, **__: None)
    truth = replace(TRUTH, iou_type='segm', objects=with_masks(OBJECTS))
    pair = side_by_side(0, truth, {'solo': with_masks(DETECTIONS)}, folder=folder, score_thr=0.5, side=100)
    second = np.flatnonzero((pair[HEADER:] == 128).all(axis=2).any(axis=0))[-1] - 99  # columns are as wide as legends
    for left, meanings, places in (
        (0, OF_OBJECTS, {'found': (20, 20), 'missed': (20, 80), 'not counted': (50, 50)}),
        (second, OF_DETECTIONS, {'right': (20, 20), 'wrong class': (20, 80), 'false alarm': (67, 7)}),
    ):
        for meaning, (y, x) in places.items():
            assert near(pair[HEADER:, left:], meanings[meaning])[y, x], meaning


@pytest.mark.parametrize(('size', 'shown'), [((28, 28), (308, 308)), ((600, 900), (267, 400)), ((900, 9), (400, 4))])
def test_pictures_are_drawn_at_the_size_that_is_shown(folder: Path, monkeypatch, size, shown) -> None:
    cv2.imwrite(str(folder / 'a.png'), np.full((*size, 3), 128, np.uint8))
    drawn = []

    def draw(picture: np.ndarray, *_: object) -> np.ndarray:
        drawn.append(picture.shape[:2])
        return picture

    monkeypatch.setattr('mmagg.evaluation.result_pictures.draw_instances', draw)
    side_by_side(0, replace(TRUTH, sizes=(size,)), {'solo': DETECTIONS}, folder=folder, score_thr=0, side=400)
    assert drawn == [shown, shown]


def test_titles_tell_a_from_b() -> None:
    a, b = (replace(DETECTIONS, path=Path(folder, 'results.segm.json')) for folder in ('solo', 'aggmask'))
    assert compare(TRUTH, a, b).titles == ('A: solo/results.segm', 'B: aggmask/results.segm')
    assert compare(TRUTH, a, replace(b, path=Path('other.json'))).titles == ('A: results.segm', 'B: other')
    assert compare(TRUTH, DETECTIONS, DETECTIONS).titles == ('A', 'B')
