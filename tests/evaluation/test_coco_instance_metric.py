"""COCOInstanceMetric against the fixtures' known scores, pycocotools and mmdet's CocoMetric."""

import contextlib
import copy
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.evaluation import coco_instance_metric
from mmagg.evaluation.coco_instance_metric import COCOInstanceMetric
from mmagg.evaluation.coco_scores import NAMES, coco_scores, read_annotations

SIZE = (48, 64)
CLASSES = ('square', 'bar', 'never')


def blob(y: int, x: int, h: int, w: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def rle(mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode()}


def annotation(image_id: int, category_id: int, mask: np.ndarray, **more: int) -> dict:
    area, box = float(mask.sum()), coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).tolist()
    return {
        'image_id': image_id,
        'category_id': category_id,
        'segmentation': rle(mask),
        'bbox': box,
        'area': area,
        'iscrowd': 0,
        **more,
    }


# Image 7 has objects of both classes and a crowd, image 9 one object, image 8 none. Ids start at 0, as users' do.
ANNOTATIONS = [
    annotation(7, 30, blob(2, 2, 20, 20), id=0),
    annotation(7, 10, blob(30, 4, 6, 40), id=1),
    annotation(7, 10, blob(10, 40, 12, 20), id=2, iscrowd=1),
    annotation(9, 30, blob(5, 5, 40, 50), id=3),
]
CONTENT = {
    'images': [{'id': i, 'height': SIZE[0], 'width': SIZE[1], 'file_name': f'{i}.png'} for i in (7, 8, 9)],
    'categories': [{'id': i, 'name': name} for i, name in ((30, 'square'), (10, 'bar'), (20, 'never'))],
    'annotations': ANNOTATIONS,
}
# (image, label, score, mask); labels count the categories in the file's order.
FOUND = [
    (7, 0, 0.9, blob(2, 3, 20, 20)),
    (7, 1, 0.8, blob(31, 4, 6, 38)),
    (7, 1, 0.7, blob(12, 42, 8, 12)),
    (8, 0, 0.6, blob(0, 0, 9, 9)),
    (9, 0, 0.5, blob(5, 5, 40, 44)),
    (9, 1, 0.4, blob(5, 5, 40, 50)),
]


@pytest.fixture
def ann_file(tmp_path: Path) -> Path:
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(CONTENT))
    return path


def sample(image_id: int, found: list[tuple], form: str) -> dict:
    masks = np.stack([np.zeros(SIZE, np.uint8), *(mask for *_, mask in found)])[1:]
    boxes = coco_mask.toBbox([rle(mask) for mask in masks]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    shapes = {'tensor': lambda: torch.from_numpy(masks).bool(), 'array': lambda: masks.astype(bool)}
    instances = {
        'labels': torch.tensor([label for _, label, *_ in found], dtype=torch.int64),
        'scores': torch.tensor([score for _, _, score, _ in found]),
        'bboxes': torch.from_numpy(boxes).float(),
        'masks': shapes[form]() if form in shapes else [rle(mask) for mask in masks],
    }
    return {'img_id': image_id, 'ori_shape': SIZE, 'pred_instances': instances}


def samples(found: list[tuple] = FOUND, form: str = 'rle') -> list[dict]:
    return [sample(i, [f for f in found if f[0] == i], form) for i in (7, 8, 9)]


def measure(metric: COCOInstanceMetric | CocoMetric, data: list[dict]) -> dict[str, float]:
    metric.dataset_meta = {'classes': CLASSES}
    for one in data:
        metric.process({}, [one])
    with contextlib.redirect_stdout(io.StringIO()):
        return metric.evaluate(size=len(data))


def by_pycocotools(content: dict, records: list[dict], kind: str) -> list[float]:
    """COCO's own code; its results must not have a box where masks are measured."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        if records:
            shape = 'bbox' if kind == 'bbox' else 'segmentation'
            names = ('image_id', 'category_id', 'score', shape)
            results = truth.loadRes([{name: copy.deepcopy(record[name]) for name in names} for record in records])
        evaluation = COCOeval(truth, results, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


def numbered(content: dict) -> dict:
    """With ids from 1, without which pycocotools is wrong."""
    annotations = [{**ann, 'id': i} for i, ann in enumerate(content['annotations'], 1)]
    return {**content, 'annotations': annotations}


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_published_scores_of_coco(shared, kind) -> None:
    folder = shared / 'data/eval_fixtures/cocoapi'
    expected = json.loads((folder / 'expected.json').read_text())[kind]
    records = json.loads((folder / f'instances_val2014_fake{kind}100_results.json').read_text())
    before = copy.deepcopy(records[:3])
    scores = coco_scores(read_annotations(folder / 'instances_val2014_100.json'), records, kind=kind)
    assert list(scores) == [f'{kind}_{name}' for name in NAMES]
    assert list(scores.values()) == pytest.approx(list(expected.values()), abs=1e-12)
    assert records[:3] == before


def test_scores_of_the_tiny_case(shared) -> None:
    folder = shared / 'data/eval_fixtures/faster_coco_eval'
    expected = json.loads((folder / 'expected_pycocotools_2.0.11.json').read_text())
    records = json.loads((folder / 'dt_dataset.json').read_text())
    scores = coco_scores(read_annotations(folder / 'gt_dataset.json'), records, kind='segm')
    # The records have boxes as well, so pycocotools sorted the masks by the boxes' areas: no number of a size.
    wanted = {i: v for i, v in enumerate(expected['gt_dataset+dt_dataset segm'].values()) if i in (0, 1, 2, 6, 7, 8)}
    assert {i: scores[f'segm_{NAMES[i]}'] for i in wanted} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize('form', ['tensor', 'array', 'rle'])
def test_equals_pycocotools_and_keeps_mmdets_names(ann_file, form) -> None:
    metric = COCOInstanceMetric(ann_file=ann_file, byte_budget=1)
    scores = measure(metric, samples(form=form))
    records = [
        {
            'image_id': image_id,
            'category_id': (30, 10, 20)[label],
            'score': float(np.float32(score)),
            'segmentation': rle(mask),
            'bbox': coco_mask.toBbox(rle(mask)).tolist(),
        }
        for image_id, label, score, mask in FOUND
    ]
    for kind in ('bbox', 'segm'):
        ours = [scores[f'coco/{kind}_{name}'] for name in NAMES]
        assert ours == pytest.approx(by_pycocotools(numbered(CONTENT), records, kind), abs=1e-12)
        assert 0 < ours[0] < 1

    ann_file.write_text(json.dumps(numbered(CONTENT)))
    theirs = measure(CocoMetric(ann_file=str(ann_file), metric=['bbox', 'segm']), samples(form='rle'))
    assert set(theirs) < set(scores)
    assert theirs == pytest.approx({name: scores[name] for name in theirs}, abs=6e-4)  # theirs are rounded


def test_only_rle_is_kept_between_batches(ann_file) -> None:
    metric = COCOInstanceMetric(ann_file=ann_file)
    data = samples(form='tensor')
    metric.process({}, data)
    assert [record['counts'] for kept in metric.results for record in kept['masks']] == [
        rle(mask)['counts'] for *_, mask in FOUND
    ]
    assert not any(isinstance(value, torch.Tensor) for kept in metric.results for value in kept.values())
    boxes_only = COCOInstanceMetric(ann_file=ann_file, metric='bbox')
    boxes_only.process({}, data)
    assert not any('masks' in kept for kept in boxes_only.results)


def test_ap_of_each_class(ann_file) -> None:
    scores = measure(COCOInstanceMetric(ann_file=ann_file, classwise=True), samples())
    for kind in ('bbox', 'segm'):
        square, bar, never = (scores[f'coco/{kind}_{name}_precision'] for name in CLASSES)
        assert (square + bar) / 2 == pytest.approx(scores[f'coco/{kind}_mAP'])
        assert square != bar
        assert never == -1


def contour(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels within `width` of a pixel outside, in the chessboard metric; the image ends in outside."""
    padded = np.pad(mask, width)
    inner = np.ones_like(mask)
    for dy in range(2 * width + 1):
        for dx in range(2 * width + 1):
            inner &= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return mask & ~inner


def test_boundary_ap(ann_file) -> None:
    width = round(0.02 * np.hypot(*SIZE))
    gt, dt = blob(5, 5, 40, 50), blob(5, 5, 40, 47)
    content = {**CONTENT, 'annotations': [annotation(9, 30, gt, id=1)]}
    ann_file.write_text(json.dumps(content))
    scores = measure(COCOInstanceMetric(ann_file=ann_file, metric=['segm', 'boundary']), samples([(9, 0, 0.5, dt)]))
    for kind, a, b in (('segm', gt, dt), ('boundary', contour(gt, width), contour(dt, width))):
        iou = (a & b).sum() / (a | b).sum()
        thresholds = np.linspace(0.5, 0.95, 10)
        assert np.abs(thresholds - iou).min() > 1e-3
        assert scores[f'coco/{kind}_mAP'] == pytest.approx((thresholds < iou).mean())
    assert scores['coco/boundary_mAP'] < scores['coco/segm_mAP']


@pytest.mark.parametrize('objects', [True, False], ids=['annotated', 'not annotated'])
@pytest.mark.parametrize('found', [FOUND, []], ids=['detections', 'no detections'])
def test_there_is_always_a_score(ann_file, objects, found) -> None:
    content = CONTENT if objects else {key: CONTENT[key] for key in ('images', 'categories')}
    ann_file.write_text(json.dumps(content))
    kinds = ['bbox', 'segm', 'boundary']
    scores = measure(COCOInstanceMetric(ann_file=ann_file, metric=kinds, classwise=True), samples(found, 'tensor'))
    assert list(scores) == [
        f'coco/{kind}_{name}' for kind in kinds for name in (*NAMES, *(f'{c}_precision' for c in CLASSES))
    ]
    if not objects:
        assert set(scores.values()) == {-1}
    elif not found:
        assert scores['coco/segm_mAP'] == scores['coco/segm_AR@100'] == scores['coco/segm_bar_precision'] == 0
        assert scores['coco/segm_mAP_l'] == scores['coco/segm_never_precision'] == -1
    else:
        assert scores['coco/segm_mAP'] > 0


def test_no_batch_at_all_and_no_images(ann_file) -> None:
    assert set(measure(COCOInstanceMetric(ann_file=ann_file), []).values()) == {-1}, 'no object was looked for'
    ann_file.write_text(json.dumps({**CONTENT, 'images': [], 'annotations': []}))
    assert set(measure(COCOInstanceMetric(ann_file=ann_file), []).values()) == {-1}


def test_a_metric_can_be_used_again(ann_file) -> None:
    metric = COCOInstanceMetric(ann_file=ann_file, metric=['bbox', 'segm', 'boundary'])
    assert measure(metric, samples()) == measure(metric, samples())


def test_results_of_several_processes_are_one_list(ann_file) -> None:
    first, second = COCOInstanceMetric(ann_file=ann_file), COCOInstanceMetric(ann_file=ann_file)
    a, b, c = samples()
    first.process({}, [a, c])
    second.process({}, [b])
    first.dataset_meta = {'classes': CLASSES}
    scores = first.compute_metrics(pickle.loads(pickle.dumps([*first.results, *second.results])))
    assert {f'coco/{name}': value for name, value in scores.items()} == measure(
        COCOInstanceMetric(ann_file=ann_file), samples()
    )


def test_as_mmengine_calls_it(ann_file) -> None:
    evaluator = Evaluator(METRICS.build({'type': 'COCOInstanceMetric', 'ann_file': str(ann_file), 'prefix': 'val'}))
    evaluator.dataset_meta = {'classes': ('bar', 'square')}  # a part, and in another order than the file's
    data = samples()
    found = [InstanceData(**one['pred_instances']) for one in data]
    for instances in found:
        instances.scores = instances.scores.bfloat16()
    evaluator.process(data_samples=[{**one, 'pred_instances': i} for one, i in zip(data, found, strict=True)])
    assert evaluator.evaluate(3)['val/segm_mAP'] > 0.3


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    told = []
    monkeypatch.setattr(coco_instance_metric, 'print_log', lambda text, level=0, **_: level and told.append(text))
    return told


@pytest.mark.parametrize('looked_at', [(7,), (9, 8), (8,), (7, 8, 9)])
def test_images_that_were_not_looked_at_do_not_count(ann_file, tmp_path, warnings, looked_at) -> None:
    data = [one for one in samples() if one['img_id'] in looked_at]
    kinds = ['bbox', 'segm', 'boundary']
    scores = measure(COCOInstanceMetric(ann_file=ann_file, metric=kinds, classwise=True), data)
    assert len(warnings) == (len(looked_at) < 3)
    assert all(f'scored on {len(looked_at)} of the 3 images of {ann_file}' in text for text in warnings)
    lists = {
        'images': [image for image in CONTENT['images'] if image['id'] in looked_at],
        'annotations': [one for one in ANNOTATIONS if one['image_id'] in looked_at],
    }
    (tmp_path / 'part.json').write_text(json.dumps({**CONTENT, **lists}))
    for path, images in ((tmp_path / 'part.json', data), (ann_file, [*data, *data])):
        assert measure(COCOInstanceMetric(ann_file=path, metric=kinds, classwise=True), images) == scores


def test_more_objects_than_count_are_named_and_can_count(ann_file, warnings) -> None:
    """150 objects of a class in an image, all found: COCO counts a hundred detections."""
    masks = [blob(3 * (i // 15), 4 * (i % 15), 2, 3) for i in range(150)]
    ann_file.write_text(json.dumps({**CONTENT, 'annotations': [annotation(8, 30, mask, id=1) for mask in masks]}))
    data = samples([(8, 0, 1 - i / 1000, mask) for i, mask in enumerate(masks)])
    scores = measure(COCOInstanceMetric(ann_file=ann_file), data)
    assert scores['coco/segm_AR@100'] == pytest.approx(2 / 3)
    assert scores['coco/segm_mAP'] == pytest.approx(67 / 101), 'of 101 recalls'
    assert warnings == [
        'images with more objects of a class than the 100 detections that count: 1 of 3, up to 150 objects; '
        'max_dets=150 of COCOInstanceMetric counts all'
    ]
    everything = measure(COCOInstanceMetric(ann_file=ann_file, max_dets=150), data)
    assert everything['coco/segm_mAP'] == everything['coco/segm_AR@150'] == everything['coco/bbox_AR_s@150'] == 1
    assert everything['coco/segm_AR@10'] == scores['coco/segm_AR@10']
    assert len(everything) == len(scores)
    assert len(warnings) == 1
    crowd = [annotation(8, 30, masks[0], id=1), *(annotation(8, 30, mask, id=1, iscrowd=1) for mask in masks)]
    ann_file.write_text(json.dumps({**CONTENT, 'annotations': crowd}))
    COCOInstanceMetric(ann_file=ann_file).dataset_meta = {'classes': CLASSES}
    assert len(warnings) == 1, 'crowd regions are not to be found'


def test_a_file_without_annotations_is_named_before_anything_is_predicted(ann_file, warnings) -> None:
    ann_file.write_text(json.dumps({key: CONTENT[key] for key in ('images', 'categories')}))
    COCOInstanceMetric(ann_file=ann_file).dataset_meta = {'classes': CLASSES}
    assert warnings == [f'{ann_file} has no annotations: there is nothing to score, all scores are -1']


def test_masks_may_have_scores_of_their_own(ann_file) -> None:
    data = samples()
    plain = measure(COCOInstanceMetric(ann_file=ann_file), data)
    for one in data:  # mistakes first
        one['pred_instances']['mask_scores'] = 1 - one['pred_instances']['scores']
    scores = measure(COCOInstanceMetric(ann_file=ann_file), data)
    assert scores['coco/bbox_mAP'] == plain['coco/bbox_mAP']
    assert scores['coco/segm_mAP'] < plain['coco/segm_mAP']


def test_errors_say_what_to_do(ann_file, tmp_path) -> None:
    with pytest.raises(ValueError, match='name one or more of bbox, segm, boundary'):
        COCOInstanceMetric(ann_file=ann_file, metric=['segm', 'proposal'])
    metric = COCOInstanceMetric(ann_file=ann_file)
    with pytest.raises(ValueError, match='has no category circle'):  # before anything is predicted
        metric.dataset_meta = {'classes': ('square', 'circle')}
    with pytest.raises(ValueError, match='max_dets=10: more than 10 detections'):
        COCOInstanceMetric(ann_file=ann_file, max_dets=10)
    data = samples()
    del data[0]['pred_instances']['masks']
    with pytest.raises(ValueError, match='predictions have no masks'):
        metric.process({}, data)
    with pytest.raises(ValueError, match='results of image 5 '):  # at the first batch
        COCOInstanceMetric(ann_file=ann_file).process({}, [sample(5, FOUND[:1], 'rle')])
    unmasked = {**CONTENT, 'annotations': [{**ann, 'segmentation': []} for ann in ANNOTATIONS]}
    ann_file.write_text(json.dumps(unmasked))
    with pytest.raises(ValueError, match='annotation of image 7 has no segmentation, which segm AP needs'):
        COCOInstanceMetric(ann_file=ann_file).dataset_meta = {'classes': CLASSES}
    assert measure(COCOInstanceMetric(ann_file=ann_file, metric='bbox'), samples())['coco/bbox_mAP'] > 0
    for text in ('[]', '{}', 'x'):
        (tmp_path / 'broken.json').write_text(text)
        with pytest.raises(ValueError, match='not COCO format'):
            COCOInstanceMetric(ann_file=tmp_path / 'broken.json')


@pytest.mark.parametrize('counts, what', [([9, 5], 'of 14'), ([9, 500], 'of 509'), ('', 'of 0'), ('05', 'of 5 ')])
def test_codes_that_the_evaluator_could_not_end_are_refused(counts, what, tmp_path):
    path = tmp_path / 'annotations.json'
    annotation = {'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 5, 5], 'area': 5, 'iscrowd': 1}
    annotation['segmentation'] = {'size': [10, 10], 'counts': counts}
    content = {'images': [{'id': 1, 'height': 10, 'width': 10}], 'categories': [{'id': 1, 'name': 'a'}]}
    path.write_text(json.dumps({**content, 'annotations': [annotation]}))
    with pytest.raises(ValueError, match=f'annotation 0: its run-length code is {what}'):
        read_annotations(path)
