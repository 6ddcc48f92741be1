"""AP*: the numbers of LVIS's own package, its federated rule, and which images count."""

import copy
import json
import logging
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

import mmagg.register  # noqa: F401
from mmagg.datasets.cocofied_lvis import COCO_IDS, COCO_SYNSETS
from mmagg.evaluation import lvis_star_metric
from mmagg.evaluation.lvis_star_metric import EVALUATORS, LVISStarMetric, coco_number

CLASSES = CocoDataset.METAINFO['classes']
LABELS = {coco_id: label for label, coco_id in enumerate(COCO_IDS.values())}
FIXTURES = 'data/eval_fixtures/cocofied'
H, W = 40, 60
PERSON, TIE, CAT = COCO_IDS['person'], COCO_IDS['tie'], COCO_IDS['cat']


def _box_rle(x, y, w, h) -> dict:
    mask = np.zeros((H, W), np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    rle = coco_mask.encode(mask)
    return {'size': [H, W], 'counts': rle['counts'].decode()}


def _annotation(image_id, category_id, box) -> dict:
    shape = {'bbox': list(box), 'area': box[2] * box[3], 'segmentation': _box_rle(*box)}
    return {'image_id': image_id, 'category_id': category_id, **shape}


def _lvis(annotations=(), *, images=(7, 8), neg=(), not_exhaustive=()) -> dict:
    """LVIS of COCO's categories; the lists hold (image, category) pairs."""
    return {
        'images': [
            {
                'id': i,
                'coco_url': f'http://images.cocodataset.org/train2017/{i:012d}.jpg',
                'height': H,
                'width': W,
                'neg_category_ids': [c for image, c in neg if image == i],
                'not_exhaustive_category_ids': [c for image, c in not_exhaustive if image == i],
            }
            for i in images
        ],
        'annotations': [{'id': i, **annotation} for i, annotation in enumerate(annotations, 1)],
        'categories': [{'id': i, 'name': n, 'synset': s, 'frequency': 'f'} for i, n, s in COCO_SYNSETS],
    }


def _samples(detections, images, *, folder='val2017', size=(H, W)) -> list[dict]:
    """Result records as the data samples of a model."""
    samples = []
    for image_id in images:
        found = [d for d in detections if d['image_id'] == image_id]
        boxes = torch.tensor([d['bbox'] for d in found], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        predictions = {
            'labels': torch.tensor([LABELS[d['category_id']] for d in found], dtype=torch.long),
            'scores': torch.tensor([d['score'] for d in found], dtype=torch.float64),
            'bboxes': boxes,
            'masks': [d['segmentation'] for d in found],
        }
        path = f'{folder}/{image_id:012d}.jpg'
        samples.append({'img_id': image_id, 'img_path': path, 'ori_shape': size, 'pred_instances': predictions})
    return samples


@pytest.fixture
def metric(tmp_path):
    """Makes a metric of LVIS content or of a file."""

    def make(lvis, *, classes=CLASSES, **options) -> LVISStarMetric:
        path = lvis
        if isinstance(lvis, dict):
            path = tmp_path / 'lvis.json'
            path.write_text(json.dumps(lvis))
        metric = METRICS.build(dict(type='LVISStarMetric', lvis_file=str(path), **options))
        metric.dataset_meta = {'classes': classes}
        return metric

    return make


def _scores(metric: LVISStarMetric, samples: list[dict]) -> dict:
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def _by_lvis(monkeypatch, lvis: dict, detections: list[dict], kind: str, max_dets: int = 300) -> np.ndarray:
    """(T,) AP at each IoU threshold, by LVIS's own package."""
    monkeypatch.setattr(np, 'float', float, raising=False)  # NumPy 2 no longer has it
    from lvis import LVIS, LVISEval, LVISResults

    truth = LVIS.__new__(LVIS)
    truth.logger = logging.getLogger('lvis')
    truth.dataset = copy.deepcopy(lvis)
    truth._create_index()
    evaluator = LVISEval(truth, LVISResults(truth, copy.deepcopy(detections), max_dets=max_dets), kind)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval['precision'][..., 0]
    return np.array([p[p > -1].mean() for p in precision])


def _check_all(scores: dict, kind: str, expected: np.ndarray) -> None:
    """Against (T,) AP at IoU 0.5, 0.55 ... 0.95."""
    named = {name.partition('AP*')[2]: value for name, value in scores.items() if name.startswith(f'lvis/{kind}_')}
    assert set(named) == {'', '50', '60', '70', '75', '80', '90'}
    assert named.pop('') == pytest.approx(expected.mean(), abs=1e-9)
    for iou, value in named.items():
        assert value == pytest.approx(expected[round((int(iou) - 50) / 5)], abs=1e-9), iou


def test_fixture(shared, metric, monkeypatch):
    folder = shared / FIXTURES
    detections = json.loads((folder / 'lvis_synthetic_results_100_cocofied.json').read_text())
    lvis = json.loads((folder / 'lvis_val_100_cocofied.json').read_text())
    sizes = {image['id']: (image['height'], image['width']) for image in lvis['images']}
    samples = [_samples(detections, [i], size=size)[0] for i, size in sizes.items()]
    scores = _scores(metric(folder / 'lvis_val_100_cocofied.json'), samples)

    expected = json.loads((folder / 'expected_synthetic_lvis_0.5.3.json').read_text())
    for kind in ('segm', 'bbox'):
        for name, lvis_name in (('AP*', 'AP'), ('AP*50', 'AP50'), ('AP*75', 'AP75')):
            assert scores[f'lvis/{kind}_{name}'] == pytest.approx(expected[kind][lvis_name], abs=1e-9)
        _check_all(scores, kind, _by_lvis(monkeypatch, lvis, detections, kind))


@pytest.mark.parametrize('max_dets', [300, 9])
def test_random_scenes_score_as_with_lvis(metric, monkeypatch, max_dets):
    rng = np.random.default_rng(3)
    images, categories = range(1, 31), [PERSON, TIE, CAT, 90]

    def boxes(count):
        corners = rng.integers(0, [W - 12, H - 12], (count, 2))
        return np.concatenate([corners, rng.integers(5, 13, (count, 2))], axis=1).tolist()

    objects = [_annotation(i, int(rng.choice(categories)), box) for i in images for box in boxes(rng.integers(0, 6))]
    pairs = [(i, c) for i in images for c in categories]
    has = {(o['image_id'], o['category_id']) for o in objects}
    neg = [pair for pair in pairs if pair not in has and rng.random() < 0.4]
    lvis = _lvis(objects, images=images, neg=neg, not_exhaustive=[pair for pair in pairs if rng.random() < 0.3])
    found = [_annotation(i, int(rng.choice(categories)), box) for i in images for box in boxes(8)]
    for o in objects:
        x, y, w, h = np.maximum(0, np.array(o['bbox']) + rng.integers(-1, 2, 4)).tolist()
        found.append(_annotation(o['image_id'], o['category_id'], (x, y, w, h)))
    for d in found:
        d['score'] = float(rng.integers(1, 20)) / 20  # ties, on purpose

    scores = _scores(metric(lvis, max_dets=max_dets), _samples(found, images))
    by_reference = _scores(metric(lvis, max_dets=max_dets, evaluator='lvis'), _samples(found, images))
    assert by_reference == pytest.approx(scores, abs=1e-9)
    for kind in ('segm', 'bbox'):
        expected = _by_lvis(monkeypatch, lvis, found, kind, max_dets)
        assert 0.1 < expected.mean() < 0.9
        _check_all(scores, kind, expected)


def test_federated_rule(metric):
    """A false positive costs only where the category is looked for in full."""
    box, other = (2, 3, 20, 20), (30, 5, 20, 20)
    right = {**_annotation(7, PERSON, box), 'score': 0.5}

    def ap(wrong, **lists):
        found = [right, {**_annotation(*wrong, other), 'score': 0.9}]
        return _scores(metric(_lvis([_annotation(7, PERSON, box)], **lists)), _samples(found, (7, 8)))['lvis/segm_AP*']

    assert ap((8, PERSON)) == 1  # nobody looked for persons in image 8
    assert ap((8, PERSON), neg=[(8, PERSON)]) == pytest.approx(0.5)
    assert ap((7, PERSON)) == pytest.approx(0.5)
    assert ap((7, PERSON), not_exhaustive=[(7, PERSON)]) == 1
    assert ap((7, CAT), neg=[(7, CAT)]) == 1  # no cat anywhere: AP of cats does not exist


def test_most_certain_detections_of_all_categories_count(metric):
    box = (2, 3, 20, 20)
    cats = [{**_annotation(7, CAT, box), 'score': 0.9} for _ in range(3)]
    found = [{**_annotation(7, PERSON, box), 'score': 0.5}, *cats]
    lvis = _lvis([_annotation(7, PERSON, box)])
    assert _scores(metric(lvis, max_dets=3), _samples(found, [7]))['lvis/bbox_AP*'] == 0
    assert _scores(metric(lvis, max_dets=4), _samples(found, [7]))['lvis/bbox_AP*'] == 1


def test_images_are_matched_by_name_or_by_id_and_size(metric, monkeypatch):
    notes = []
    monkeypatch.setattr(lvis_star_metric, 'print_log', lambda text, **_: notes.append(text))
    box = (2, 3, 20, 20)
    lvis = _lvis([_annotation(7, PERSON, box), _annotation(8, PERSON, box)])
    lvis['images'][0]['file_name'] = 'COCO_val2014_000000000007.jpg'
    del lvis['images'][0]['coco_url']
    found = {**_annotation(7, PERSON, box), 'score': 0.5}

    def ap(**fields):
        sample = {**_samples([found], [7])[0], **fields}
        return _scores(metric(lvis), [sample])['lvis/segm_AP*']

    assert ap() == 1
    assert notes[-1].startswith('AP*: 1 images; 0 of the run are not in ')
    assert notes[-1].endswith('1 in it are not in the run')
    assert ap(img_id=99) == ap(img_id=8) == 1  # the name decides
    assert ap(img_path='x/COCO_val2014_000000000007.png') == 1
    assert ap(img_path='x/mine.png') == ap(img_path=None) == 1  # then the id
    for elsewhere in (
        {'img_path': 'x/000000000009.jpg'},
        {'img_path': 'x/mine.png', 'ori_shape': (H, W + 1)},
        {'img_path': 'x/mine.png', 'img_id': 9},
    ):
        assert ap(**elsewhere) == -1
        assert notes[-1].startswith('AP*: 0 images; 1 of the run are not in ')
    with pytest.raises(ValueError, match='original size'):
        ap(ori_shape=(H * 2, W * 2))


def test_names_of_coco_files():
    assert coco_number('/a/COCO_train2014_000000000285.jpg') == coco_number('000000000285.png') == 285
    assert coco_number('http://images.cocodataset.org/train2017/000000391895.jpg') == 391895
    assert [coco_number(name) for name in ('', '285.jpg', 'x000000000285.jpg', '0000000000285.jpg')] == [None] * 4


@pytest.mark.parametrize('evaluator', EVALUATORS)
def test_nothing_found_or_nothing_there_is_a_score(metric, evaluator):
    metric = partial(metric, evaluator=evaluator)
    lvis = _lvis([_annotation(7, PERSON, (2, 3, 20, 20))])
    nothing = _samples([], (7, 8))
    assert set(_scores(metric(lvis), nothing).values()) == {0.0}
    nothing[0]['pred_instances']['masks'] = torch.zeros(0, H, W, dtype=torch.bool)
    assert set(_scores(metric(lvis), nothing).values()) == {0.0}
    found = [{**_annotation(7, CAT, (2, 3, 20, 20)), 'score': 0.5}]
    assert set(_scores(metric(_lvis(neg=[(7, CAT)])), _samples(found, (7, 8))).values()) == {-1.0}
    assert set(_scores(metric(lvis), _samples([], [55])).values()) == {-1.0}
    assert set(_scores(metric(lvis), []).values()) == {-1.0}


def test_other_orders_of_classes_and_foreign_classes(metric):
    """A model of some of COCO's classes, numbered its own way, and of one more."""
    box, lvis = (2, 3, 20, 20), _lvis([_annotation(7, i, (2, 3, 20, 20)) for i in (PERSON, TIE, CAT)])
    sample = _samples([{**_annotation(7, PERSON, box), 'score': 0.5}] * 3, [7])[0]
    sample['pred_instances']['labels'] = torch.tensor([0, 1, 2])
    scores = _scores(metric(lvis, classes=('cat', 'unicorn', 'person')), [sample])
    assert scores['lvis/segm_AP*'] == 1  # the tie does not count
    with pytest.raises(ValueError, match=r'3 classes: unicorn, disc, ring\) has none'):  # before anything is predicted
        metric(lvis, classes=('unicorn', 'disc', 'ring'))


def test_dense_masks_mask_scores_and_boxes_of_zeros(metric):
    box, lvis = (2, 3, 20, 20), _lvis([_annotation(7, PERSON, (2, 3, 20, 20))])
    wrong = {**_annotation(7, PERSON, (30, 5, 20, 20)), 'score': 0.4}
    sample = _samples([{**_annotation(7, PERSON, box), 'score': 0.5}, wrong], [7])[0]
    predictions = sample['pred_instances']
    predictions['masks'] = torch.from_numpy(coco_mask.decode(predictions['masks'])).permute(2, 0, 1).bool()
    predictions['bboxes'] = torch.zeros(2, 4)  # as mmdet's SOLO has them
    assert set(_scores(metric(lvis), [sample]).values()) == {1.0}
    predictions['mask_scores'] = torch.tensor([0.3, 0.6])
    scores = _scores(metric(lvis), [sample])
    assert scores['lvis/bbox_AP*'] == 1
    assert scores['lvis/segm_AP*'] == pytest.approx(0.5)


def test_boxes_alone(metric):
    lvis = _lvis([_annotation(7, PERSON, (2, 3, 20, 20))])
    sample = _samples([{**_annotation(7, PERSON, (2, 3, 20, 20)), 'score': 0.5}], [7])[0]
    del sample['pred_instances']['masks']
    assert _scores(metric(lvis, metric='bbox'), [sample])['lvis/bbox_AP*'] == 1
    with pytest.raises(ValueError, match='predicts no masks'):
        _scores(metric(lvis), [sample])


@pytest.mark.parametrize('options', [{'metric': 'mask'}, {'metric': []}, {'max_dets': 0}, {'evaluator': 'coco'}])
def test_wrong_options_are_named(options, metric):
    with pytest.raises(ValueError, match=re.escape(next(iter(options)))):
        metric(_lvis(), **options)


def test_the_reference_is_named_where_it_is_missing(metric, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lvis', None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'mmagg\[lvis\]'"):
        metric(_lvis(), evaluator='lvis')
    metric(_lvis())  # needs no such package


def test_lvis_that_was_not_converted_is_refused(shared):
    with pytest.raises(ValueError, match='mmagg convert-lvis'):
        LVISStarMetric(lvis_file=shared / 'data/eval_fixtures/lvis/lvis_val_100.json')
    with pytest.raises(FileNotFoundError):
        LVISStarMetric(lvis_file='nowhere.json')


def test_beside_coco_in_one_run(tmp_path):
    """One evaluator gives both, and neither spoils the other's predictions."""
    box = (2, 3, 20, 20)
    lvis = _lvis([_annotation(7, PERSON, box)])
    (tmp_path / 'lvis.json').write_text(json.dumps(lvis))
    # COCO has a cat in image 8 that LVIS knows nothing of.
    coco = {**lvis, 'annotations': [{**a, 'iscrowd': 0} for a in (*lvis['annotations'], _annotation(8, CAT, box))]}
    for i, annotation in enumerate(coco['annotations'], 1):
        annotation['id'] = i
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    metrics = [
        CocoMetric(ann_file=str(tmp_path / 'coco.json'), metric=['bbox', 'segm']),
        LVISStarMetric(lvis_file=tmp_path / 'lvis.json'),
    ]
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = {'classes': CLASSES}
    samples = _samples([{**_annotation(7, PERSON, box), 'score': 0.5}], (7, 8))
    for sample in samples:
        sample['pred_instances'] = InstanceData(**sample['pred_instances']).to_dict()
    evaluator.process(samples)
    scores = evaluator.evaluate(2)
    assert scores['coco/segm_mAP'] == scores['coco/bbox_mAP'] == 0.5
    assert scores['lvis/segm_AP*'] == scores['lvis/bbox_AP*'] == 1


@pytest.mark.parametrize(
    'renamed',
    [lambda i: f'img-{31 - i}', lambda i: -i, lambda i: 2**63 + i, lambda i: float(i)],
    ids=['text', 'negative', 'beyond 2^63', 'float'],
)
def test_any_ids_score_as_1_to_n(metric, renamed):
    rng = np.random.default_rng(4)
    images = range(1, 13)
    boxes = [(2, 3, 20, 20), (30, 5, 20, 20), (10, 15, 18, 20)]
    objects = [_annotation(i, PERSON, boxes[rng.integers(3)]) for i in images for _ in range(2)]
    found = [{**_annotation(i, PERSON, boxes[rng.integers(3)]), 'score': rng.random()} for i in images for _ in 'abc']
    lvis = _lvis(objects, images=images, neg=[(3, CAT)])
    for image in lvis['images']:
        image['coco_url'] = 'x/mine.png'  # so that the id decides
    samples = [{**sample, 'img_path': 'x/mine.png'} for sample in _samples(found, images)]
    expected = _scores(metric(lvis), samples)
    assert 0 < expected['lvis/segm_AP*'] < 1
    for entry in (*lvis['images'], *samples):
        key = 'id' if 'id' in entry else 'img_id'
        entry[key] = renamed(entry[key])
    for i, annotation in enumerate(lvis['annotations']):
        annotation.update(id=f'a{i}', image_id=renamed(annotation['image_id']))
    assert _scores(metric(lvis), samples) == pytest.approx(expected)
