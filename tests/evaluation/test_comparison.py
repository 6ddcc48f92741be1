"""The bootstrap's AP, intervals and changed images, on published results and in cases made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_results import truth_of

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.bootstrap import FEWEST_IMAGES, Judged, ap_of_samples, bootstrap, judge
from mmagg.evaluation.comparison import changed_images

IMAGES = 12
BOX = (0, 0, 10, 10)
# One object an image: class 0 in the first eight images, class 1 in the others.
OBJECTS = Objects(
    np.arange(IMAGES),
    (np.arange(IMAGES) >= 8).astype(int),
    np.full(IMAGES, 100.0),
    np.zeros(IMAGES, bool),
    np.array([BOX] * IMAGES, float),
)
TRUTH = truth_of(OBJECTS, images=IMAGES, classes=2)


def found(images: list[int], score: float = 0.5, box: tuple[float, ...] = BOX) -> Judged:
    """Detections of the right class in some images."""
    count = len(images)
    outlines = np.array([box] * count, float).reshape(-1, 4)
    labels = OBJECTS.labels[images] if count else np.empty(0, int)
    detections = Detections(np.array(images, int), labels, np.full(count, 100.0), np.full(count, score), outlines)
    return judge(TRUTH, detections.counted())


def compare(a: Judged, b: Judged, samples: int = 400):
    return bootstrap(TRUTH, a, b, samples=samples)


def test_the_full_set_is_cocos(shared: Path) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    expected = json.loads((folder / 'expected.json').read_text())['segm']
    truth = read_truth(folder / 'instances_val2014_100.json', 'segm')
    judged = judge(truth, read_detections(folder / 'instances_val2014_fakesegm100_results.json', truth))
    differences = bootstrap(truth, judged, judged, samples=3)
    for aps in (differences.a, differences.b):
        assert aps[:, -1] == pytest.approx([expected[key] for key in ('AP', 'APs', 'APm', 'APl')], abs=1e-5)
    assert differences.low[0, -1] == differences.high[0, -1] == 0
    assert changed_images(truth, judged, judged) == []


def test_samples_are_paired_and_the_interval_is_that_of_the_samples() -> None:
    a, b = found([0, 1, 2]), found([0, 1, 2, 3, 4, 5, 8, 9])
    generator = np.random.default_rng(0)
    weights = generator.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), size=400)
    deltas = []
    for row in weights:  # without false detections AP is the number of the 101 recalls that are reached
        per_class = []
        for label in (0, 1):
            mine = row * (OBJECTS.labels == label)
            if total := mine.sum():
                recalls = [mine[images].sum() / total for images in ([0, 1, 2], [0, 1, 2, 3, 4, 5, 8, 9])]
                reached = [(np.linspace(0, 1, 101) <= recall).sum() / 101 if recall else 0 for recall in recalls]
                per_class.append(reached[1] - reached[0])
        deltas.append(np.mean(per_class))
    differences = compare(a, b)
    assert differences.low[0, -1] == pytest.approx(np.percentile(deltas, 2.5))
    assert differences.high[0, -1] == pytest.approx(np.percentile(deltas, 97.5))
    assert differences.above[0, -1] == pytest.approx(np.mean(np.array(deltas) > 0))
    assert 0 < differences.low[0, -1] < (differences.b - differences.a)[0, -1] < differences.high[0, -1]


def test_few_images_get_no_interval() -> None:
    differences = compare(found([0]), found([0, 8]))
    assert differences.images[0].tolist() == [8, 4, 12]
    assert FEWEST_IMAGES == 5
    assert np.isnan(differences.low[0]).tolist() == [False, True, False]
    assert differences.images[2].tolist() == [0, 0, 0]  # the objects are small, none is medium
    assert np.isnan(differences.a[2]).all()


def test_samples_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = found([0, 1, 2]), found([1, 5, 9])
    whole = compare(a, b, samples=50)
    monkeypatch.setattr('mmagg.evaluation.average_precision.BUDGET', 8 * 3 * 7)
    for one, other in zip(whole, compare(a, b, samples=50), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_absent_image_counts_for_nothing() -> None:
    weights = np.ones((1, IMAGES), int)
    weights[0, 3:8] = 0
    aps = ap_of_samples(TRUTH, found([0, 1, 2]), weights)[0, 0]
    assert aps == pytest.approx([1, 0, 0.5])


def test_changed_images() -> None:
    a, b = found([0, 1, 2], score=0.5), found([1, 2, 3], score=0.8)
    changes = {change.image: change for change in changed_images(TRUTH, a, b)}
    assert list(changes) == [3, 0, 1, 2]
    assert [changes[image].change for image in (3, 0, 1, 2)] == pytest.approx([0.8, 0.5, 0.3, 0.3])
    assert [changes[image].better for image in (3, 0, 1, 2)] == pytest.approx([0.8, -0.5, 0.3, 0.3])
    assert [(changes[image].gained, changes[image].lost) for image in (3, 0, 1)] == [(1, 0), (0, 1), (0, 0)]
    wrong = changed_images(TRUTH, found([]), found([4], score=0.6, box=(40, 40, 10, 10)))
    assert [(c.image, c.gained, c.lost, c.wrong_a, c.wrong_b) for c in wrong] == [(4, 0, 0, 0, 1)]
    assert (wrong[0].change, wrong[0].better) == pytest.approx((0.6, -0.6))
