"""Matching and AP equal pycocotools on published results; what COCO's rules say in cases made by hand."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from made_up_results import truth_of
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.datasets.coco_objects import Detections, Objects, ranks
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes
from mmagg.evaluation.matching import SIZES, THRESHOLDS, evaluate, overlaps


def boxes(*corners: tuple[float, ...]) -> np.ndarray:
    return np.array(corners, float).reshape(-1, 4)


def make_objects(
    outlines: np.ndarray, labels: list[int], images: list[int], crowd: list[bool] | None = None
) -> Objects:
    areas = outlines[:, 2:].prod(axis=1)
    crowd = np.array(crowd or [False] * len(labels), bool)
    return Objects(np.array(images, int), np.array(labels, int), areas, crowd, outlines)


def make_detections(outlines: np.ndarray, labels: list[int], images: list[int], scores: list[float]) -> Detections:
    areas = outlines[:, 2:].prod(axis=1)
    return Detections(np.array(images, int), np.array(labels, int), areas, np.array(scores), outlines).counted()


def reference(truth: dict, results: list[dict], iou_type: str) -> COCOeval:
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_each_class_size_and_threshold_equals_pycocotools(shared: Path, iou_type: str) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    annotations = folder / 'instances_val2014_100.json'
    results = folder / f'instances_val2014_fake{iou_type}100_results.json'
    truth = read_truth(annotations, iou_type)
    detections = read_detections(results, truth)
    outcome = evaluate(detections, truth.objects, overlaps(detections, truth.objects), sizes=list(SIZES.values()))
    aps = average_precision(truth, detections, outcome)[0]

    expected = json.loads((folder / 'expected.json').read_text())[iou_type]
    measured = mean_over_classes(aps.mean(axis=1))
    assert measured == pytest.approx([expected[key] for key in ('AP', 'APs', 'APm', 'APl')], abs=1e-9)

    precision = reference(json.loads(annotations.read_text()), json.loads(results.read_text()), iou_type).eval[
        'precision'
    ][..., -1]  # (T, R, K, A)
    theirs = np.where((precision < 0).any(axis=1), np.nan, precision.mean(axis=1)).transpose(2, 0, 1)
    np.testing.assert_allclose(aps, theirs, atol=1e-12)


def test_copied_images_equal_weights(shared: Path) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    content = json.loads((folder / 'instances_val2014_100.json').read_text())
    results = json.loads((folder / 'instances_val2014_fakesegm100_results.json').read_text())
    truth = read_truth(folder / 'instances_val2014_100.json', 'segm')
    detections = read_detections(folder / 'instances_val2014_fakesegm100_results.json', truth)
    weights = np.random.default_rng(3).multinomial(100, np.full(100, 0.01), size=1)

    places = np.repeat(np.arange(100), weights[0])
    by_id = {image['id']: image for image in content['images']}
    images, annotations, found = [], [], []
    for new, image_id in enumerate((truth.image_ids[place] for place in places), 1):
        images.append({**by_id[image_id], 'id': new})
        annotations += [{**a, 'image_id': new} for a in content['annotations'] if a['image_id'] == image_id]
        found += [{**r, 'image_id': new} for r in results if r['image_id'] == image_id]
    annotations = [{**annotation, 'id': new} for new, annotation in enumerate(annotations, 1)]
    copied = {**content, 'images': images, 'annotations': annotations}
    precision = reference(copied, found, 'segm').eval['precision'][:, :, :, 0, -1]

    outcome = evaluate(detections, truth.objects, overlaps(detections, truth.objects))
    aps = average_precision(truth, detections, outcome, weights)[0, 0]
    theirs = np.where((precision < 0).any(axis=1), np.nan, precision.mean(axis=1))
    np.testing.assert_allclose(aps, theirs, atol=1e-9)


def test_the_most_certain_takes_the_best_object_left() -> None:
    objects = make_objects(boxes((0, 0, 10, 10), (2, 0, 10, 10)), [0, 0], [0, 0])
    detections = make_detections(boxes((2, 0, 10, 10), (2, 0, 10, 10)), [0, 0], [0, 0], [0.5, 0.9])
    outcome = evaluate(detections, objects, overlaps(detections, objects))
    assert detections.scores.tolist() == [0.9, 0.5]
    assert outcome.matches[0, 0].tolist() == [1, 0]  # IoU 1, then 2/3 with what is left
    assert outcome.matches[0, -1].tolist() == [1, -1]
    assert outcome.false[0, :, 1].tolist() == (THRESHOLDS > 2 / 3).tolist()


def test_crowds_are_not_counted_and_never_used_up() -> None:
    objects = make_objects(boxes((0, 0, 50, 50)), [0], [0], [True])
    detections = make_detections(boxes((0, 0, 5, 5), (9, 9, 5, 5), (45, 0, 50, 5)), [0] * 3, [0] * 3, [0.9, 0.8, 0.7])
    outcome = evaluate(detections, objects, overlaps(detections, objects))
    assert outcome.matches[0, 0].tolist() == [0, 0, -1]
    assert not outcome.true.any()
    assert outcome.false[0, 0].tolist() == [False, False, True]
    assert not outcome.expected.any()


def test_detections_of_another_size_or_image_or_class() -> None:
    objects = make_objects(boxes((0, 0, 40, 40)), [0], [0])
    outlines = boxes((0, 0, 10, 10), (0, 0, 40, 40), (0, 0, 40, 40))
    detections = make_detections(outlines, [0, 0, 1], [0, 1, 0], [0.9, 0.8, 0.7])
    outcome = evaluate(detections, objects, overlaps(detections, objects), sizes=list(SIZES.values()))
    assert (outcome.matches == -1).all()
    assert outcome.false[:, 0].tolist() == [
        [True, True, True],
        [True, False, False],
        [False, True, True],
        [False, False, False],
    ]
    assert outcome.expected[:, 0].tolist() == [True, False, True, False]


def test_only_the_first_hundred_of_an_image_and_class_count() -> None:
    count = 130
    detections = make_detections(boxes(*[(0, 0, 5, 5)] * count), [0] * count, [0] * count, list(range(count)))
    assert detections.scores.tolist() == list(range(129, 29, -1))
    assert len(make_detections(boxes(*[(0, 0, 5, 5)] * count), [0, 1] * 65, [0] * count, [1] * count)) == count


def test_nothing_at_all() -> None:
    none, nothing = make_objects(boxes(), [], []), make_detections(boxes(), [], [], [])
    outcome = evaluate(nothing, none, overlaps(nothing, none))
    assert np.isnan(average_precision(truth_of(none, images=2, classes=3), nothing, outcome)).all()
    some = make_objects(boxes((0, 0, 5, 5)), [1], [0])
    outcome = evaluate(nothing, some, overlaps(nothing, some))
    aps = average_precision(truth_of(some, images=2, classes=3), nothing, outcome)[0, 0]
    assert np.isnan(aps[:, [0, 2]]).all()
    assert (aps[:, 1] == 0).all()


def test_ranks() -> None:
    assert ranks(np.array([3, 3, 1, 3, 1])).tolist() == [0, 1, 0, 2, 1]
    assert ranks(np.array([3, 3, 1, 3, 1]), np.array([0, 1, 0, 0, 0])).tolist() == [0, 0, 0, 1, 1]
    assert ranks(np.empty(0, int)).tolist() == []
