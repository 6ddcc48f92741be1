"""Curves equal pycocotools on published results and faster-coco-eval on made-up ones; F1 equals a naive search."""

import json
from dataclasses import replace
from pathlib import Path

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pytest
from made_up_results import CLASSES, coco_format, made_up, truth_of
from pycocotools.cocoeval import COCOeval

from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes
from mmagg.evaluation.matching import THRESHOLDS, Outcome, evaluate, overlaps
from mmagg.evaluation.precision_recall import best_f1, curves_of, precision_recall

Case = tuple[Truth, Detections, Outcome]


def faster(objects: Objects, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """faster-coco-eval's precision and scores, (T, R, K)."""
    truth, results = map(faster_coco_eval.COCO, coco_format(objects, detections))
    evaluator = faster_coco_eval.COCOeval_faster(truth, results, 'bbox', print_function=lambda *_: None)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval['precision'][..., 0, -1], evaluator.eval['scores'][..., 0, -1]


def compare(case: Case, precision: np.ndarray, scores: np.ndarray) -> None:
    """With an evaluator's arrays (T, R, K): there −1 stands for a class without objects, score 0 for not reached."""
    curves = curves_of(*case)
    precision, scores = precision.swapaxes(1, 2), scores.swapaxes(1, 2)
    np.testing.assert_allclose(curves.precision, np.where(precision < 0, np.nan, precision), atol=1e-12)
    np.testing.assert_array_equal(curves.scores, np.where(scores <= 0, np.nan, scores))


def test_made_up_results_equal_faster_coco_eval() -> None:
    objects, detections = made_up(0)
    outcome = evaluate(detections, objects, overlaps(detections, objects))
    compare((truth_of(objects), detections, outcome), *faster(objects, detections))


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_published_results_equal_pycocotools(shared: Path, iou_type: str, capsys) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    paths = folder / 'instances_val2014_100.json', folder / f'instances_val2014_fake{iou_type}100_results.json'
    coco = pycocotools.coco.COCO(paths[0])
    evaluator = COCOeval(coco, coco.loadRes(str(paths[1])), iou_type)
    evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ['all']
    evaluator.evaluate()
    evaluator.accumulate()

    truth = read_truth(paths[0], iou_type)
    detections = read_detections(paths[1], truth)
    outcome = evaluate(detections, truth.objects, overlaps(detections, truth.objects))
    case = truth, detections, outcome
    compare(case, *(evaluator.eval[name][:, :, :, 0, -1] for name in ('precision', 'scores')))

    precision = curves_of(*case).precision
    aps = average_precision(*case)[0, 0]
    np.testing.assert_allclose(precision.mean(axis=-1), aps, atol=1e-12)
    expected = json.loads((folder / 'expected.json').read_text())[iou_type]
    mean = mean_over_classes(precision.swapaxes(1, 2))
    assert (mean.mean(), mean[0].mean()) == pytest.approx((expected['AP'], expected['AP50']), abs=1e-9)


def test_best_f1_equals_a_naive_search() -> None:
    objects, detections = made_up(1)
    outcome = evaluate(detections, objects, overlaps(detections, objects))
    best = best_f1(truth_of(objects), detections, outcome)
    assert np.isnan([values[:, CLASSES - 1] for values in best]).all()
    for label in (0, 1, 2, CLASSES):
        classes = range(CLASSES) if label == CLASSES else [label]
        mine, total = np.isin(detections.labels, classes), (np.isin(objects.labels, classes) & ~objects.crowd).sum()
        for threshold in range(len(THRESHOLDS)):
            expected = (np.nan, 0.0, 0.0, 0.0)
            for score in np.unique(detections.scores)[::-1]:
                kept = mine & (detections.scores >= score)
                true = (outcome.true[0, threshold] & kept).sum()
                false = (outcome.false[0, threshold] & kept).sum()
                if true and 2 * true / (true + false + total) > expected[1]:
                    expected = score, 2 * true / (true + false + total), true / (true + false), true / total
            assert [values[threshold, label] for values in best] == pytest.approx(expected, nan_ok=True)


def test_no_detections_and_no_objects(tmp_path: Path) -> None:
    objects, detections = made_up(2)
    none = detections[:0]
    result = precision_recall(truth_of(objects), none)
    curves, best = result.curves, result.best
    assert (curves.precision[:, :-1] == 0).all()
    assert np.isnan(curves.precision[:, -1]).all()
    assert np.isnan(curves.scores).all()
    assert (best.f1[:, [0, 1, 2, CLASSES]] == 0).all()
    assert np.isnan(best.scores).all()
    for suffix in ('png', 'svg'):
        path = tmp_path / f'chart.{suffix}'
        replace(result, classes=['$a', '1', '2', '$b$'], shown=['$a', '$b$']).draw(path)
        assert path.stat().st_size > 1000
