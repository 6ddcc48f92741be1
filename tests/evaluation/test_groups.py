"""Sizes equal pycocotools, coverage a count of pixels, its groups pycocotools with coverage in the place of area."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pycocotools.coco
import pycocotools.mask as coco_mask
import pytest
from made_up_results import SIDE, coco_format, ellipse, made_up, truth_of
from pycocotools.cocoeval import COCOeval

from mmagg.datasets.coco_objects import Detections, Objects
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.coverage import boxes_of, coverage
from mmagg.evaluation.groups import ap_by_group, by_coverage, by_size, coverage_names
from mmagg.evaluation.matching import most_overlapped, overlaps


def as_masks(things: Objects | Detections) -> Objects | Detections:
    outlines = np.empty(len(things), object)
    outlines[:] = [ellipse(box) for box in things.outlines]
    return type(things)(**{**vars(things), 'outlines': outlines})


def pixels(outline: dict | np.ndarray) -> np.ndarray:
    """(H, W) bool of a mask or a box with whole sides."""
    if isinstance(outline, dict):
        return coco_mask.decode(outline) > 0
    left, top, width, height = outline.astype(int)
    result = np.zeros((SIDE, SIDE), bool)
    result[top : top + height, left : left + width] = True
    return result


def naive_coverage(outline: dict | np.ndarray, others: list) -> float:
    """Of the box around an outline, the share that others cover."""
    rows, columns = pixels(outline).nonzero()
    window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return float(np.any([pixels(other)[window] for other in others], axis=0).mean()) if others else 0.0


def naive_shares(things: Objects | Detections, own: np.ndarray, objects: Objects) -> list[float]:
    return [
        naive_coverage(
            things.outlines[place],
            [objects.outlines[k] for k in range(len(objects)) if objects.images[k] == image and k != own[place]],
        )
        for place, image in enumerate(things.images)
    ]


@pytest.mark.parametrize('masks', [True, False])
def test_coverage_and_its_groups_equal_naive_ones(masks: bool, capsys) -> None:
    objects, detections = made_up(3)
    if masks:
        objects, detections = as_masks(objects), as_masks(detections)
    pairs = overlaps(detections, objects)
    own = most_overlapped(pairs.where(~objects.crowd[pairs.objects]), len(detections))[1]
    truth, results = coco_format(objects, detections)
    ious = coco_mask.iou(list(detections.outlines), list(objects.outlines), [0] * len(objects))
    ious[(detections.images[:, None] != objects.images) | objects.crowd] = 0
    np.testing.assert_array_equal(ious[np.arange(len(own)), own] * (own >= 0), ious.max(axis=1))

    shares = []
    for things, mine, content in ((objects, np.arange(len(objects)), truth), (detections, own, results)):
        expected = naive_shares(things, mine, objects)
        found = coverage(boxes_of(things.outlines), things.images, mine, objects)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        shares.append(found)
        for annotation, share in zip(content['annotations'], found.tolist(), strict=True):
            annotation['area'] = share
    assert np.mean(shares[0] == 0) > 0.05
    assert np.mean(shares[0] > 0.3) > 0.05

    coco, found = pycocotools.coco.COCO(), pycocotools.coco.COCO()
    coco.dataset, found.dataset = truth, results
    coco.createIndex()
    found.createIndex()
    evaluator = COCOeval(coco, found, 'segm' if masks else 'bbox')
    ends = [0, 0.1, 0.3, 1]
    evaluator.params.areaRng = [[0, 0], *([np.nextafter(low, 1), high] for low, high in pairwise(ends))]
    evaluator.params.areaRngLbl = coverage_names(ends[:-1])
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval['precision'][..., -1], evaluator.eval['recall'][..., -1]
    theirs = precision.mean(axis=(0, 1)), precision[0].mean(axis=0), precision[5].mean(axis=0), recall.mean(axis=0)
    scores = by_coverage(truth_of(objects), detections, pairs)
    for ours, values in zip(scores, theirs, strict=False):
        np.testing.assert_allclose(ours[:, :-1], np.where(values < 0, np.nan, values).T, atol=1e-12)
        np.testing.assert_allclose(ours[:, -1], [row[row >= 0].mean() for row in values.T], atol=1e-12)
    assert scores.objects[:, -1].sum() == scores.objects[:, :-1].sum() == (~objects.crowd).sum()


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_sizes_equal_pycocotools(shared: Path, iou_type: str, capsys) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    paths = folder / 'instances_val2014_100.json', folder / f'instances_val2014_fake{iou_type}100_results.json'
    coco = pycocotools.coco.COCO(paths[0])
    evaluator = COCOeval(coco, coco.loadRes(str(paths[1])), iou_type)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    truth = read_truth(paths[0], iou_type)
    detections = read_detections(paths[1], truth)
    pairs = overlaps(detections, truth.objects)
    scores = by_size(truth, detections, pairs)
    ap, ap50, ap75, ar = (values[:, -1] for values in scores[:4])
    assert [*ap, ap50[0], ap75[0], *ar] == pytest.approx(
        evaluator.stats[[0, 3, 4, 5, 1, 2, 8, 9, 10, 11]].tolist(), abs=1e-12
    )
    assert scores.objects[:, -1].tolist() == [830, 407, 240, 183]


def test_what_is_wrong_counts_where_it_is() -> None:
    """A lone object, and two that touch: each is found twice, and the second time is wrong in its own group."""
    boxes = np.array([[0, 0, 10, 10], [50, 50, 10, 10], [56, 50, 10, 10]], float)
    objects = Objects(np.zeros(3, int), np.zeros(3, int), np.full(3, 100.0), np.zeros(3, bool), boxes)

    def aps(*scores: float) -> list[float]:
        chosen = boxes[[0, 1, 2, 0, 1, 2]][: len(scores)]
        zeros = np.zeros(len(chosen), int)
        detections = Detections(zeros, zeros, np.full(len(chosen), 100.0), np.array(scores), chosen).counted()
        pairs = overlaps(detections, objects)
        truth = truth_of(objects, images=1, classes=1)
        return by_coverage(truth, detections, pairs, edges=[0, 0.1]).ap[:, -1].tolist()

    assert aps(0.9, 0.9, 0.9) == pytest.approx([1, np.nan, 1], nan_ok=True)
    # The duplicate on the lone object is more certain than what is right in the crowd, and does no harm there.
    assert aps(0.9, 0.3, 0.3, 0.8) == pytest.approx([1, np.nan, 1], nan_ok=True)
    lone, _, crowded = aps(0.9, 0.9, 0.3, 0.1, 0.8)
    assert lone == pytest.approx(1)
    assert crowded == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_sides_between_pixels() -> None:
    boxes = np.array([[0, 0, 1.5, 1], [1.2, 0, 1.2, 1], [1.3, 0.5, 3, 3], [9, 9, 0, 0]])
    objects = Objects(np.zeros(4, int), np.zeros(4, int), boxes[:, 2:].prod(axis=1), np.zeros(4, bool), boxes)
    shares = coverage(boxes, objects.images, np.arange(4), objects)
    assert shares == pytest.approx([0.3 / 1.5, (0.3 + 0.5 * 0.9) / 1.2, 0.5 * 1.1 / 9, 0])


def test_nothing_at_all(tmp_path: Path) -> None:
    objects, detections = made_up(4)
    nothing = Objects(*(getattr(objects, name)[:0] for name in ('images', 'labels', 'areas', 'crowd', 'outlines')))
    for some, found in ((objects, detections[:0]), (nothing, detections), (nothing, detections[:0])):
        for things in ((some, found), (as_masks(some), as_masks(found))):
            result = ap_by_group(truth_of(things[0]), things[1], edges=[0.2, 0.5, 0.7])
            for groups in (result.size, result.coverage):
                assert groups.objects.any() == (len(some) > 0)
                np.testing.assert_array_equal(groups.ap[:, :-1], np.where(groups.objects[:, :-1], 0, np.nan))
    for suffix in ('png', 'svg'):
        path = tmp_path / f'chart.{suffix}'
        result.draw(path, ('size', '$'))
        assert path.stat().st_size > 1000


def test_names() -> None:
    assert coverage_names([0, 0.1, 0.29]) == ['0 %', '0–10 %', '10–29 %', 'over 29 %']
    assert coverage_names([0.5]) == ['up to 50 %', 'over 50 %']
