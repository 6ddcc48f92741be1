"""tools/analysis/boxes_to_masks.py as a user calls it, against tools/test.py and pycocotools."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pycocotools.mask as coco_mask
import pytest
import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.apis.config import load_config
from mmagg.apis.data import use_coco_folder
from mmagg.cli import boxes_to_masks as command
from mmagg.cli import test as testing
from mmagg.cli.main import run
from mmagg.demo.shapes import write_shapes

IMAGES = 3
METRICS = ('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')
CONFIG = """
_base_ = '{root}/configs/demo/{base}_tiny_shapes.py'
model = dict(
    backbone=dict(stem_channels=8, base_channels=8), neck=dict(in_channels={channels}), test_cfg={test_cfg})
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""
MODELS_OF = {
    'mask-rcnn': dict(
        base='mask-rcnn-fpn', channels=[8, 16, 32, 64], test_cfg=dict(rcnn=dict(score_thr=0.19, max_per_img=12))
    ),
    'blendmask': dict(base='blendmask', channels=[16, 32], test_cfg=dict(max_per_img=12)),
}


class Case(NamedTuple):
    """Models with random weights, data, and what the Mask R-CNN finds in it."""

    folder: Path

    @property
    def annotations(self) -> Path:
        """Some of what the Mask R-CNN finds."""
        return self.folder / 'data/annotations/instances_val.json'

    @property
    def own(self) -> Path:
        """The Mask R-CNN's result file."""
        return self.folder / 'own.json'

    def run(self, boxes: Path, *more: object, model: str = 'mask-rcnn', data: Path | None = None) -> int:
        """Run the tool."""
        arguments = [self.folder / f'{model}.py', self.folder / f'{model}.pth', boxes]
        arguments += ['--coco', data or self.folder / 'data', *more]
        return run(command, [str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def case(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The truth is what the Mask R-CNN finds, some of it with another's mask or box, so that AP is neither 0 nor 1."""
    case = Case(tmp_path_factory.mktemp('boxes'))
    write_shapes(case.folder / 'data', images=1, val_images=IMAGES, size=64, seed=0)
    for name, options in MODELS_OF.items():
        config = case.folder / f'{name}.py'
        config.write_text(CONFIG.format(root=root, **options))
        cfg = load_config(config)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        with torch.no_grad():
            for p in model.parameters():
                if p.ndim > 1:
                    p.mul_(1.5)
        meta = {'dataset_meta': {'classes': cfg.classes}}
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, case.folder / f'{name}.pth')

    arguments = [case.folder / 'mask-rcnn.py', case.folder / 'mask-rcnn.pth', '--coco', case.folder / 'data']
    arguments += ['--out', case.own, '--work-dir', case.folder / 'work']
    assert run(testing, [str(argument) for argument in arguments]) == 0
    found = json.loads(case.own.read_text())
    for i in range(0, len(found), 3):
        found[i]['segmentation'] = found[i - 1]['segmentation']
    for i in range(1, len(found), 4):
        x, y, width, height = found[i]['bbox']
        found[i]['bbox'] = [x, y, width, 0.77 * height]
    truth = json.loads(case.annotations.read_text())
    truth['annotations'] = [
        {
            **{key: record[key] for key in ('image_id', 'category_id', 'bbox', 'segmentation')},
            'id': i + 1,
            'area': float(coco_mask.area(record['segmentation'])),
            'iscrowd': 0,
        }
        for i, record in enumerate(found)
        if i % 5
    ]
    case.annotations.write_text(json.dumps(truth))
    return case


@pytest.fixture
def fill(case: Case, tmp_path: Path) -> Callable[..., tuple[dict, list[dict]]]:
    """Runs the tool on a file or on records; gives AP and the masks as it wrote them."""

    def call(boxes: Path | list[dict], *more: object, **options) -> tuple[dict, list[dict]]:
        if isinstance(boxes, list):
            path = tmp_path / 'boxes.json'
            path.write_text(json.dumps(boxes))
            boxes = path
        out = tmp_path / 'out/results.json'
        assert case.run(boxes, '--out', out, *more, **options) == 0
        return json.loads(out.with_name('results.metrics.json').read_text()), json.loads(out.read_text())

    return call


def reference(annotations: Path, records: list[dict], kind: str) -> list[float]:
    """The six AP by pycocotools."""
    left_out = 'bbox' if kind == 'segm' else 'segmentation'
    truth = COCO(str(annotations))
    records = [{key: value for key, value in record.items() if key != left_out} for record in records]
    evaluation = COCOeval(truth, truth.loadRes(records), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:6].tolist()


def values(report: dict, kind: str) -> list[float]:
    """As pycocotools has them."""
    return [-1 if report[kind][name] is None else report[kind][name] for name in METRICS]


def truth_boxes(case: Case, score: float = 1.0) -> list[dict]:
    annotations = json.loads(case.annotations.read_text())['annotations']
    return [{key: x[key] for key in ('image_id', 'category_id', 'bbox')} | {'score': score} for x in annotations]


def test_own_boxes_give_what_testing_gives(case: Case, fill) -> None:
    report, filled = fill(case.own)
    own = json.loads(case.own.read_text())
    assert report['images'] == IMAGES
    assert report['boxes'] == report['masks'] == len(own) == len(filled) > 20
    for kind, tolerance in (('bbox', 1e-9), ('segm', 5e-3)):  # boxes have three digits in the file
        assert values(report, kind) == pytest.approx(reference(case.annotations, own, kind), abs=tolerance)
        assert values(report, kind) == pytest.approx(reference(case.annotations, filled, kind), abs=1e-9)
        assert 0.2 < report[kind]['AP'] < 0.95
    key = lambda record: (record['image_id'], -record['score'], record['bbox'])  # noqa: E731
    for record, expected in zip(sorted(filled, key=key), sorted(own, key=key), strict=True):
        assert {**record, 'segmentation': None} == {**expected, 'segmentation': None}
        masks = [x['segmentation'] for x in (record, expected)]
        if sum(coco_mask.area(masks)):
            assert coco_mask.iou(masks[:1], masks[1:], [0]).item() > 0.97


@pytest.mark.parametrize('model', MODELS_OF)
def test_true_boxes_have_a_box_ap_of_one(case: Case, fill, model: str, capsys) -> None:
    report, filled = fill(truth_boxes(case), model=model)
    assert {report['bbox'][name] for name in METRICS} <= {1.0, None}
    assert report['bbox']['AP'] == 1
    assert report['segm']['AP'] < 0.9
    assert values(report, 'segm') == pytest.approx(reference(case.annotations, filled, 'segm'), abs=1e-9)
    assert sum(coco_mask.area(record['segmentation']) > 9 for record in filled) > 5
    for record in filled:  # within its box, and a pixel
        x, y, width, height = record['bbox']
        left, top, w, h = coco_mask.toBbox(record['segmentation'])
        if w:
            assert left > x - 1
            assert top > y - 1
            assert left + w < x + width + 1
            assert top + h < y + height + 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert list(METRICS) in lines
    for kind, name in (('bbox', 'box'), ('segm', 'mask')):
        assert [name, *('–' if v < 0 else f'{100 * v:.2f}' for v in values(report, kind))] in lines


def test_only_some_of_the_boxes(case: Case, fill) -> None:
    own = json.loads(case.own.read_text())
    ids = sorted({record['image_id'] for record in own})
    everything = fill(case.own)[1]

    def found(*more: object) -> list[dict]:
        report, filled = fill(case.own, *more)
        assert report['boxes'] == len(filled)
        assert all(record in everything for record in filled)
        return filled

    assert found('--max-images', 2) == [record for record in everything if record['image_id'] in ids[:2]]
    middle = sorted(record['score'] for record in own)[len(own) // 2]
    assert found('--score-thr', middle) == [record for record in everything if record['score'] >= middle]
    best = {image_id: sorted(x['score'] for x in own if x['image_id'] == image_id)[-2:] for image_id in ids}
    filled = found('--max-per-image', 2)
    assert {i: sorted(x['score'] for x in filled if x['image_id'] == i) for i in ids} == best


def test_images_without_boxes_have_no_masks_and_are_not_run(case: Case, fill, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = truth_boxes(case)
    image_id = boxes[-1]['image_id']
    boxes = [box for box in boxes if box['image_id'] == image_id]
    alone = fill(boxes)[1]
    runs, predict = [], StandardRoIHead.predict
    monkeypatch.setattr(StandardRoIHead, 'predict', lambda *args, **kwargs: runs.append(1) or predict(*args, **kwargs))
    report, filled = fill(boxes, '--cfg-options', 'test_dataloader.batch_size=2')
    assert len(runs) == 1
    assert report['images'] == IMAGES
    assert {record['image_id'] for record in filled} == {image_id}
    assert [len(filled), report['boxes']] == [len(boxes)] * 2
    for record, expected in zip(filled, alone, strict=True):
        assert coco_mask.iou([record['segmentation']], [expected['segmentation']], [0]).item() > 0.99


def test_flat_boxes_have_no_mask(case: Case, fill, capsys) -> None:
    boxes = truth_boxes(case, score=0.5)
    flat = [{**boxes[0], 'bbox': box} for box in ([64, 3, 0, 8], [3, 3, 9, 0], [64, 0, 5, 9])]
    report, filled = fill([*flat, *boxes])
    assert report['boxes'] == len(boxes) + 3
    assert report['masks'] == len(filled) == len(boxes)
    assert '3 boxes have no area in their image, and so no mask' in capsys.readouterr().out
    report, filled = fill(flat)
    assert filled == []
    assert report['segm']['AP'] == report['bbox']['AP'] == 0


def test_boxes_of_several_detectors_are_put_side_by_side(case: Case, tmp_path: Path, capsys) -> None:
    few, many = tmp_path / 'few.json', tmp_path / 'many.json'
    assert case.run(case.own, '--out', few, '--max-per-image', 2) == 0
    assert 'boxes from' not in capsys.readouterr().out
    beside = few.with_suffix('.metrics.json')
    assert case.run(case.own, '--out', many, '--beside', beside) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith('boxes from'))
    for path, line in zip((few, many), lines[start + 1 :], strict=False):
        report = json.loads(path.with_suffix('.metrics.json').read_text())
        shares = [report['segm']['AP'], *report['bbox'].values()]
        numbers = [report['boxes'] / report['images'], *(None if x is None else 100 * x for x in shares)]
        assert line.split()[1:] == ['–' if x is None else f'{x:.1f}' for x in numbers]
    assert many.with_suffix('.png').stat().st_size > 10_000
    assert not few.with_suffix('.png').exists()
    assert case.run(case.own, '--out', beside, '--beside', beside) == 2
    assert f'--out {beside}' in last_line(capsys)
    assert case.run(case.own, '--beside', case.own) == 2
    assert last_line(capsys).endswith(f'--beside {case.own}: is no NAME.metrics.json of boxes_to_masks')


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    return error


GOOD = {'image_id': 1, 'category_id': 1, 'bbox': [1, 2, 30, 40], 'score': 0.5}


@pytest.mark.parametrize(
    'content, message',
    [
        ('[', 'is not JSON'),
        ({'images': []}, 'is no COCO result file; it must hold a list of detections'),
        ([], 'holds no boxes'),
        ([GOOD, 3], 'entry 1 is no box'),
        ([{**GOOD, 'bbox': [1, 2, 3]}], 'entry 0 is no box'),
        ([{**GOOD, 'bbox': None}], 'entry 0 is no box'),
        ([{**GOOD, 'score': 'high'}], 'entry 0 is no box'),
        ([{**GOOD, 'category_id': []}], 'entry 0 is no box'),
        ([{key: GOOD[key] for key in ('image_id', 'category_id', 'bbox')}], "entry 0 is no box (KeyError: 'score')"),
        ([{**GOOD, 'score': float('nan')}], 'not finite'),
        ([{**GOOD, 'bbox': [9, 9, -5, 4]}], 'a side negative'),
        ([GOOD, {**GOOD, 'image_id': 77}], 'the data have no image 77'),
        ([GOOD, {**GOOD, 'category_id': 77}], 'the data have no category 77'),
        ([GOOD, {**GOOD, 'bbox': [70, 9, 20, 20]}], 'is outside of image 1 (64 x 64)'),
        ([GOOD, {**GOOD, 'bbox': [9, -30, 20, 20]}], 'is outside of image 1 (64 x 64)'),
    ],
)
def test_what_are_no_boxes_ends_with_one_line(case: Case, tmp_path: Path, capsys, content, message: str) -> None:
    path = tmp_path / 'boxes.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert case.run(path, '--out', tmp_path / 'out.json') == 2
    error = last_line(capsys)
    assert message in error
    assert str(path) in error
    assert sorted(tmp_path.iterdir()) == [path]


def test_other_bad_input_ends_with_one_line(case: Case, tmp_path: Path, capsys) -> None:
    for more, message in (
        (['--out', case.own], 'is an input'),
        (['--out', case.folder / 'data/annotations/instances_val.json'], 'is an input'),
        (['--out', tmp_path], 'name a .json file'),
        (['--score-thr', 0.999], 'boxes has a score of 0.999 or more and is in the 3 images'),
        (['--device', 'nowhere'], '--device nowhere'),
        (['--cfg-options', 'test_dataloader=None'], '`test_dataloader`'),
    ):
        assert case.run(case.own, *more) == 2
        assert message in last_line(capsys)
    assert case.run(tmp_path / 'missing.json') == 2
    assert 'missing.json: No such file' in last_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_ids_of_annotations_mean_nothing(case: Case, fill, tmp_path: Path) -> None:
    expected = fill(case.own)[0]
    shutil.copytree(case.folder / 'data', tmp_path / 'data')
    path = tmp_path / 'data/annotations/instances_val.json'
    content = json.loads(path.read_text())
    for i, annotation in enumerate(content['annotations']):
        annotation['id'] = i  # COCO's evaluation takes 0 for "not matched"
    path.write_text(json.dumps(content))
    report = fill(case.own, data=tmp_path / 'data')[0]
    assert {kind: report[kind] for kind in ('bbox', 'segm')} == {kind: expected[kind] for kind in ('bbox', 'segm')}

    rle = content['annotations'][-1]['segmentation']
    rle['counts'] = rle['counts'][:-1]
    path.write_text(json.dumps(content))
    assert case.run(case.own, data=tmp_path / 'data') == 2


def test_data_without_masks(case: Case, tmp_path: Path, capsys) -> None:
    write_shapes(tmp_path / 'data', images=1, val_images=1, size=64, seed=0)
    path = tmp_path / 'data/annotations/instances_val.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {'annotations': []}))
    assert case.run(case.own, data=tmp_path / 'data') == 2
    assert 'instances_val.json: none of its 1 images has a mask' in last_line(capsys)


def test_a_model_without_such_a_branch_is_refused(
    tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys
) -> None:
    cfg = load_config(tiny_config)
    use_coco_folder(cfg, shapes_folder)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'model.pth')
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps([GOOD]))
    arguments = [tiny_config, tmp_path / 'model.pth', boxes, '--coco', shapes_folder]
    assert run(command, [str(argument) for argument in arguments]) == 2
    assert f'config {tiny_config}: SOLO has no mask branch that takes boxes' in last_line(capsys)


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    missing = [tmp_path / f'missing.{suffix}' for suffix in ('py', 'pth', 'json')]
    done = run('analysis/boxes_to_masks.py', *missing)
    assert done.returncode == 2
    assert 'no such file' in done.stderr.splitlines()[-1]
