"""One AP for everybody: of the metric, of the experiments and of the analyses, whatever ids and codes a file has."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from mmagg.datasets.coco_check import check_coco
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.coco_scores import AP_NAMES, NAMES, average_precisions, coco_scores, read_annotations
from mmagg.evaluation.matching import SIZES, evaluate, overlaps
from mmagg.experiments.object_masks import read_masks
from mmagg.io.errors import InputError

HEIGHT, WIDTH = 150, 200
# (image, category, x, y, width, height, crowd): small, medium and large ones.
OBJECTS = [
    (1, 10, 5, 5, 20, 20, 0),
    (1, 10, 40, 5, 25, 30, 0),
    (1, 20, 80, 10, 100, 110, 0),
    (2, 20, 10, 10, 60, 50, 0),
    (2, 20, 90, 20, 90, 90, 1),
    (3, 10, 20, 20, 28, 28, 0),
]
# (image, category, x, y, width, height, score)
FOUND = [
    (1, 10, 6, 5, 20, 20, 0.9),
    (1, 10, 43, 8, 25, 30, 0.8),
    (1, 20, 90, 10, 95, 105, 0.7),
    (1, 20, 0, 90, 40, 40, 0.75),
    (2, 20, 10, 13, 60, 50, 0.6),
    (2, 20, 95, 30, 30, 30, 0.5),
    (3, 10, 21, 21, 28, 28, 0.4),
]


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    return mask


def rle(*box: int) -> dict:
    code = coco_mask.encode(rectangle(*box))
    return {'size': [HEIGHT, WIDTH], 'counts': code['counts'].decode()}


def truth() -> dict:
    return {
        'images': [{'id': i, 'file_name': f'{i}.png', 'height': HEIGHT, 'width': WIDTH} for i in (1, 2, 3, 4)],
        'categories': [{'id': i, 'name': name} for i, name in ((20, 'pear'), (10, 'fig'))],
        'annotations': [
            {
                'id': i,
                'image_id': image,
                'category_id': category,
                'segmentation': rle(x, y, w, h) if i % 2 else [[x, y, x + w, y, x + w, y + h, x, y + h]],
                'bbox': [x, y, w, h],
                'area': w * h,
                'iscrowd': crowd,
            }
            for i, (image, category, x, y, w, h, crowd) in enumerate(OBJECTS, 1)
        ],
    }


def results() -> list[dict]:
    return [
        {'image_id': image, 'category_id': category, 'score': score, 'segmentation': rle(x, y, w, h)}
        | {'bbox': [x, y, w, h]}
        for image, category, x, y, w, h, score in FOUND
    ]


def by_metric(path: Path, records: list[dict], kind: str) -> list[float]:
    """The metric of tools/test.py, which knows labels."""
    metric = COCOInstanceMetric(ann_file=path, metric=kind)
    label_of = {category['id']: label for label, category in enumerate(metric.annotations.categories)}
    for image_id in metric.annotations.image_by_id:
        mine = [record for record in records if record['image_id'] == image_id]
        boxes = torch.tensor([record['bbox'] for record in mine], dtype=torch.float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = {
            'labels': torch.tensor([label_of[record['category_id']] for record in mine], dtype=torch.long),
            'scores': torch.tensor([record['score'] for record in mine]),
            'bboxes': boxes,
            'masks': [record['segmentation'] for record in mine],
        }
        metric.process({}, [{'img_id': image_id, 'pred_instances': found}])
    scores = metric.evaluate(size=len(metric.results))
    return [scores[f'coco/{kind}_{name}'] for name in NAMES[:6]]


def by_analysis(path: Path, records: Path, kind: str) -> list[float]:
    """AP of two files as tools/analysis computes it."""
    known = read_truth(path, kind)
    found = read_detections(records, known)
    outcome = evaluate(found, known.objects, overlaps(found, known.objects), sizes=list(SIZES.values()))
    (ap,) = mean_over_classes(average_precision(known, found, outcome))
    return [ap[0].mean(), ap[0, 0], ap[0, 5], *ap[1:].mean(axis=1)]


def from_0(content: dict, records: list[dict]) -> None:
    for i, annotation in enumerate(content['annotations']):
        annotation['id'] = i


def twice(content: dict, records: list[dict]) -> None:
    for annotation in content['annotations']:
        annotation['id'] = 7


def as_text(content: dict, records: list[dict]) -> None:
    for image in content['images']:
        image['id'] = f'image {image["id"]}'
    for category in content['categories']:
        category['id'] = f'category {category["id"]}'
    for entry in content['annotations'] + records:
        entry['image_id'], entry['category_id'] = f'image {entry["image_id"]}', f'category {entry["category_id"]}'
    for annotation in content['annotations']:
        annotation['id'] = str(annotation['id'])


def negative(content: dict, records: list[dict]) -> None:
    for entry in content['images'] + content['categories']:
        entry['id'] -= 15
    for entry in content['annotations'] + records:
        entry['image_id'], entry['category_id'] = entry['image_id'] - 15, entry['category_id'] - 15
    for annotation in content['annotations']:
        annotation['id'] -= 3


def uncompressed(content: dict, records: list[dict]) -> None:
    for entry in content['annotations'] + records:
        x, y, w, h = entry['bbox']
        flat = np.concatenate([[0], rectangle(x, y, w, h).ravel(order='F')])
        counts = np.diff(np.flatnonzero(np.diff(flat.astype(int))), prepend=0, append=HEIGHT * WIDTH).tolist()
        entry['segmentation'] = {'size': [HEIGHT, WIDTH], 'counts': counts}


def without_fields(content: dict, records: list[dict]) -> None:
    for annotation in content['annotations']:
        del annotation['area'], annotation['id']
        if not annotation['iscrowd']:
            del annotation['iscrowd']


def elsewhere(content: dict, records: list[dict]) -> None:
    """Objects of images and categories that are not listed."""
    first = content['annotations'][0]
    content['annotations'] = [{**first, 'image_id': 99}, {**first, 'category_id': 99}, *content['annotations']]


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
@pytest.mark.parametrize(
    'change', [from_0, twice, as_text, negative, uncompressed, without_fields, elsewhere], ids=lambda x: x.__name__
)
def test_everybody_has_the_same_ap(change: Callable, kind: str, tmp_path: Path) -> None:
    content, records = truth(), results()
    (tmp_path / 'plain.json').write_text(json.dumps(content))
    plain = coco_scores(read_annotations(tmp_path / 'plain.json'), records, kind=kind)
    expected = [plain[f'{kind}_{name}'] for name in NAMES[:6]]
    assert 0.2 < min(expected) < max(expected) < 1

    change(content, records)
    path, found = tmp_path / 'truth.json', tmp_path / 'found.json'
    path.write_text(json.dumps(content))
    found.write_text(json.dumps(records))
    before = copy.deepcopy(records)
    annotations = read_annotations(path)
    for _ in range(2):  # nothing is kept between two calls
        ap = average_precisions(annotations, records, kind, annotations.image_by_id, annotations.category_by_id)
        assert list(ap) == list(AP_NAMES)
        assert list(ap.values()) == pytest.approx(expected, abs=1e-12)
    assert records == before
    assert by_metric(path, records, kind) == pytest.approx(expected, abs=1e-12)
    assert by_analysis(path, found, kind) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_some_images_and_categories(kind: str, tmp_path: Path) -> None:
    path, part = tmp_path / 'truth.json', tmp_path / 'part.json'
    content = truth()
    content['annotations'][5]['segmentation'] = None  # of no account, as its image is not chosen
    path.write_text(json.dumps(content))
    content['images'], content['categories'] = content['images'][:2], content['categories'][:1]
    part.write_text(json.dumps(content))
    records = [record for record in results() if record['image_id'] in (1, 2) and record['category_id'] == 20]
    whole = coco_scores(read_annotations(part), records, kind=kind)
    ap = average_precisions(read_annotations(path), results(), kind, [2, 1], [20])
    assert [-1 if value is None else value for value in ap.values()] == [whole[f'{kind}_{n}'] for n in NAMES[:6]]
    assert ap['AP_S'] is None
    assert set(average_precisions(read_annotations(path), [], kind, [1, 2], [20]).values()) == {0.0, None}
    assert set(average_precisions(read_annotations(path), results(), kind, [4], [10, 20]).values()) == {None}


@pytest.mark.parametrize('kind', ['bbox', 'segm', 'boundary'])
@pytest.mark.parametrize(
    'rename',
    ['img-{}'.format, '{:04d}'.format, lambda i: i - 100, lambda i: i - 100.0, lambda i: i + 2**63],
    ids=['text', 'padded', 'negative', 'float', 'beyond 2^63'],
)
def test_any_ids_score_as_numbered_ones(kind: str, rename: Callable, tmp_path: Path) -> None:
    content, records, path = truth(), results(), tmp_path / 'truth.json'
    path.write_text(json.dumps(content))
    expected = coco_scores(read_annotations(path), records, kind=kind, classwise=True)
    for entry in (*records, *(entry for entries in content.values() for entry in entries)):
        entry |= {key: rename(entry[key]) for key in ('id', 'image_id', 'category_id') if key in entry}
        entry |= {side: float(entry[side]) for side in ('height', 'width') if side in entry}
    path.write_text(json.dumps(content))
    assert coco_scores(read_annotations(path), records, kind=kind, classwise=True) == expected
    assert 0 < expected[f'{kind}_mAP'] < 1


@pytest.mark.parametrize('counts', ['05', rle(0, 0, 9, 9)['counts'][:-1], [9, 5], [9, 10**9]])
def test_codes_of_another_length_are_refused_by_everybody(counts: str | list, tmp_path: Path) -> None:
    content, path = truth(), tmp_path / 'truth.json'
    content['annotations'][2]['segmentation'] = {'size': [HEIGHT, WIDTH], 'counts': counts}
    path.write_text(json.dumps(content))
    for read in (read_annotations, read_truth, lambda path: read_masks(path, size=14, workers=1)):
        with pytest.raises(InputError, match=r'truth\.json.* a?.*run-length code'):
            read(path)
    assert any(
        finding.severity == 'fatal' and finding.message.startswith('RLE masks') and 'annotation 3' in finding.message
        for finding in check_coco(path, tmp_path, decode_images=False)
    )


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda content: content['annotations'][2].update(image_id='1'), "annotation 2: its image_id is '1'"),
        (lambda content: content['images'].append(content['images'][0]), 'an id occurs twice'),
        (lambda content: content['annotations'][2].update(segmentation={'size': [1, 1], 'counts': [1]}), 'size of its'),
    ],
)
def test_everybody_refuses_the_same_annotations(change: Callable, message: str, tmp_path: Path) -> None:
    content, path = truth(), tmp_path / 'truth.json'
    change(content)
    path.write_text(json.dumps(content))
    for read in (read_annotations, read_truth, lambda path: read_masks(path, size=14, workers=1)):
        with pytest.raises(InputError, match=rf'truth\.json.*{message}'):
            read(path)
    assert any(finding.severity == 'fatal' for finding in check_coco(path, tmp_path, decode_images=False))


@pytest.mark.parametrize(
    'change',
    [
        lambda content: content['annotations'][0].pop('image_id'),
        lambda content: content['annotations'][0].update(category_id=[]),
        lambda content: content['images'][0].pop('id'),
        lambda content: content['images'][0].update(id='a'),
        lambda content: content['annotations'].append(3),
    ],
)
def test_what_the_evaluation_needs_is_checked_when_the_file_is_read(change: Callable, tmp_path: Path) -> None:
    content, path = truth(), tmp_path / 'truth.json'
    change(content)
    path.write_text(json.dumps(content))
    for read in (read_annotations, read_truth):
        with pytest.raises(InputError, match=r'truth\.json is not COCO format'):
            read(path)


def test_mistakes_in_records_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(truth()))
    annotations, (record, *_) = read_annotations(path), results()
    for change, message in (({'image_id': 77}, 'results of image 77'), ({'bbox': []}, 'result of image 1 has no bbox')):
        with pytest.raises(ValueError, match=message):
            average_precisions(annotations, [record | change], 'bbox', [1], [10])
    assert average_precisions(annotations, [record | {'category_id': 77}], 'bbox', [1], [10])['AP'] == 0
    with pytest.raises(KeyError, match='score'):
        coco_scores(annotations, [{k: v for k, v in record.items() if k != 'score'}], kind='bbox')
