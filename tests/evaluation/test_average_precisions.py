"""AP of some images and categories against pycocotools and by hand."""

import contextlib
import io
import json
from pathlib import Path

import pycocotools.mask as coco_mask
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.datasets.coco_file import CocoFile
from mmagg.evaluation.coco_scores import average_precisions, read_annotations


def square(top: int, left: int, side: int = 20) -> dict:
    mask = torch.zeros(80, 80, dtype=torch.uint8)
    mask[top : top + side, left : left + side] = 1
    rle = coco_mask.encode(mask.t().contiguous().numpy().T)
    return {'size': [80, 80], 'counts': rle['counts'].decode()}


def annotations(*, iscrowd: int = 0) -> dict:
    """Two images with objects, one without."""
    places = [(1, 3, 10, 10), (1, 5, 40, 40), (1, 3, 50, 10), (2, 5, 0, 0)]
    return {
        'images': [{'id': i, 'height': 80, 'width': 80, 'file_name': f'{i}.png'} for i in (1, 2, 3)],
        'categories': [{'id': 3, 'name': 'a'}, {'id': 5, 'name': 'b'}, {'id': 6, 'name': 'never there'}],
        'annotations': [
            {
                'id': i + 1,
                'image_id': image,
                'category_id': category,
                'segmentation': square(top, left),
                'bbox': [left, top, 20, 20],
                'area': 400,
                'iscrowd': iscrowd,
            }
            for i, (image, category, top, left) in enumerate(places)
        ],
    }


def results() -> list[dict]:
    places = [(1, 3, 11, 10, 0.9), (1, 3, 70, 60, 0.8), (1, 5, 42, 41, 0.7), (2, 5, 1, 0, 0.6), (1, 3, 54, 12, 0.5)]
    return [
        {'image_id': image, 'category_id': category, 'score': score, 'segmentation': square(top, left)}
        for image, category, top, left, score in places
    ]


def read(content: dict, folder: Path) -> CocoFile:
    """Annotations as they are read from a file."""
    path = folder / 'annotations.json'
    path.write_text(json.dumps(content))
    return read_annotations(path)


@pytest.mark.parametrize('image_ids', [[1, 2, 3], [1]])
def test_ap_equals_pycocotools(tmp_path: Path, image_ids: list[int]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations()
        truth.createIndex()
        reference = COCOeval(truth, truth.loadRes(results()), 'segm')
        reference.params.imgIds = image_ids
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    assert 0.2 < reference.stats[0] < 0.8
    ap = average_precisions(read(annotations(), tmp_path), results(), 'segm', image_ids, [3, 5, 6])
    assert [-1 if value is None else value for value in ap.values()] == pytest.approx(reference.stats[:6], abs=1e-9)
    assert list(ap) == ['AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L']


def test_nothing_found_and_nothing_to_find(tmp_path: Path) -> None:
    ap = average_precisions(read(annotations(), tmp_path), [], 'segm', [1, 2, 3], [3, 5])
    assert [ap[name] for name in ('AP', 'AP50', 'AP75')] == [0, 0, 0]
    for image_ids, truth in (([3], annotations()), ([1, 2], annotations(iscrowd=1))):
        ap = average_precisions(read(truth, tmp_path), results()[:1], 'segm', image_ids, [3, 5])
        assert set(ap.values()) == {None}


@pytest.mark.parametrize('first', [0, 1, 'equal'])
def test_ids_of_annotations_mean_nothing(tmp_path: Path, first: int | str) -> None:
    """The evaluator alone takes the id 0 for "not matched", and drops annotations whose id occurs again."""
    content = annotations()
    expected = average_precisions(read(content, tmp_path), results(), 'segm', [1, 2, 3], [3, 5])
    for i, annotation in enumerate(content['annotations']):
        annotation['id'] = 7 if first == 'equal' else first + i
    assert average_precisions(read(content, tmp_path), results(), 'segm', [1, 2, 3], [3, 5]) == expected


def test_ap_by_size(tmp_path: Path) -> None:
    sides = [20, 40, 120]  # small, medium, large
    content = dict(
        images=[dict(id=1, width=400, height=400)],
        categories=[dict(id=7, name='thing'), dict(id=9, name='none')],
        annotations=[
            dict(id=i + 1, image_id=1, category_id=7, bbox=[130 * i, 0, side, side], area=side**2, iscrowd=0)
            for i, side in enumerate(sides)
        ],
    )
    truth = read(content, tmp_path)
    # The medium one is found with an IoU of 0.7, the large one not at all.
    records = [
        dict(image_id=1, category_id=7, bbox=[0, 0, 20, 20], score=0.9),
        dict(image_id=1, category_id=7, bbox=[130, 0, 40, 28], score=0.8),
    ]
    ap = average_precisions(truth, records, 'bbox', [1], [7, 9])
    third, two_thirds = 34 / 101, 67 / 101  # of 101 recalls
    assert ap['AP50'] == pytest.approx(two_thirds)
    assert ap['AP75'] == pytest.approx(third)
    assert ap['AP'] == pytest.approx((5 * two_thirds + 5 * third) / 10)
    assert (ap['AP_S'], ap['AP_M'], ap['AP_L']) == pytest.approx((1, 0.5, 0))
    assert set(average_precisions(truth, [], 'bbox', [1], [9]).values()) == {None}
