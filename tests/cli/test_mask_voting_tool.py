"""tools/analysis/mask_voting.py as a user calls it, against tools/test.py with the same voting."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import cv2
import pycocotools.mask as coco_mask
import pytest
import torch
from mmdet.registry import MODELS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmagg.apis.config import load_config
from mmagg.apis.data import use_coco_folder
from mmagg.cli import mask_voting as command
from mmagg.cli import test as testing
from mmagg.cli.main import run
from mmagg.demo.shapes import write_shapes
from mmagg.models.heads import GridMaskHead

IMAGES = 4
CONFIG = """
_base_ = '{root}/configs/demo/solo_tiny_shapes.py'
model = dict(test_cfg=dict(
    score_thr=0.3, nms_pre=60, max_per_img=10, nms=dict(_delete_=True, type='MaskNMS', iou_thr=0.3)))
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""


class Case(NamedTuple):
    """A model and data on which voting makes a difference."""

    config: Path
    checkpoint: Path
    folder: Path

    def run(self, *more: object, tool: ModuleType = command) -> int:
        """Run a command on it."""
        arguments = [self.config, self.checkpoint, '--coco', self.folder, *more]
        return run(tool, [str(argument) for argument in arguments])

    def test(self, work_dir: Path, *voting: object) -> tuple[dict, Path]:
        """tools/test.py with a voting (weight, iou_thr) or none; gives metrics and file of results."""
        options = []
        if voting:
            values = zip(('type', 'weight', 'iou_thr'), ('MaskVoting', *voting), strict=True)
            options = ['--cfg-options', *(f'model.test_cfg.voting.{key}={value}' for key, value in values)]
        out = work_dir / 'results.json'
        assert self.run('--work-dir', work_dir, '--out', out, *options, tool=testing) == 0
        return json.loads((work_dir / 'metrics.json').read_text()), out


@pytest.fixture(scope='module')
def case(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Random weights that give groups of similar masks, and as truth some of what this model finds.

    Some objects are as without voting, some as with it, so that the AP of every variant is another.
    """
    folder = tmp_path_factory.mktemp('voting')
    case = Case(folder / 'tiny.py', folder / 'model.pth', folder / 'data')
    write_shapes(case.folder, images=1, val_images=IMAGES, size=64, seed=0)
    case.config.write_text(CONFIG.format(root=root))
    cfg = load_config(case.config)
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    model.init_weights()
    head = model.mask_head
    with torch.no_grad():
        masks = head.mask_branch.convs[0]
        groups = torch.randn(12, *masks.weight.shape[1:])[torch.randint(0, 12, (len(masks.weight),))]
        masks.weight.copy_(0.7 * groups + 0.5 * torch.randn(masks.weight.shape))
        masks.bias.fill_(-1)
        head.conv_cls.weight.normal_(std=0.05)
        head.conv_cls.bias.copy_(torch.tensor([0.0, -3, -3, -3, -3]))
    meta = {'dataset_meta': {'classes': cfg.classes}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, case.checkpoint)

    plain, voted = (
        json.loads(case.test(folder / name, *voting)[1].read_text())
        for name, voting in {'plain': (), 'voted': ('score', 0.5)}.items()
    )
    found = [voted[i] if i % 3 else plain[i] for i in range(len(plain)) if i % 5]
    path = case.folder / 'annotations' / 'instances_val.json'
    truth = json.loads(path.read_text())
    truth['annotations'] = [
        {
            **{key: record[key] for key in ('image_id', 'category_id', 'bbox', 'segmentation')},
            'id': i + 1,
            'area': float(coco_mask.area(record['segmentation'])),
            'iscrowd': 0,
        }
        for i, record in enumerate(found)
    ]
    path.write_text(json.dumps(truth))
    return case


@pytest.fixture
def search(case: Case, tmp_path: Path) -> Callable[..., dict]:
    """Runs the tool; gives what it wrote to results.json."""

    def call(*more: object) -> dict:
        assert case.run('--out', tmp_path / 'out', *more) == 0
        return json.loads((tmp_path / 'out/results.json').read_text())

    return call


def reference(annotations: Path, results: Path, image_ids: list[int]) -> list[float]:
    """AP, AP50 and AP75 of a result file by pycocotools."""
    truth = COCO(str(annotations))
    records = [record for record in json.loads(results.read_text()) if record['image_id'] in image_ids]
    for record in records:
        del record['bbox']
    evaluation = COCOeval(truth, truth.loadRes(records), 'segm')
    evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:3].tolist()


def test_every_variant_equals_testing_with_that_voting(case: Case, search, tmp_path: Path) -> None:
    report = search('--thresholds', 0.6, 0.3)
    grid = report['grid']
    variants = [(row['weight'], row['iou_thr']) for row in grid]
    assert variants == [(None, None), *((w, t) for w in ('avg', 'score', 'iou') for t in (0.3, 0.6))]
    assert report['images'] == IMAGES
    annotations = case.folder / 'annotations/instances_val.json'
    for row, voting in zip(grid, [(), *variants[1:]], strict=True):
        if row['iou_thr'] == 0.6 and row['weight'] != 'iou':
            continue  # the same path through other numbers
        metrics, results = case.test(tmp_path / 'test', *voting)
        got = [row[key] for key in ('AP', 'AP50', 'AP75')]
        tested = [metrics[f'coco/segm_{key}'] for key in ('mAP', 'mAP_50', 'mAP_75')]  # rounded to three digits
        assert got == pytest.approx(tested, abs=5.01e-4), voting
        assert got == pytest.approx(reference(annotations, results, [1, 2, 3, 4]), abs=1e-9), voting
    assert len({row['AP'] for row in grid}) > 5, 'the variants hardly differ'
    assert all(0.3 < row['AP'] < 0.99 for row in grid)


def test_the_network_runs_once_per_image(search, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, forward = [], GridMaskHead.forward
    monkeypatch.setattr(GridMaskHead, 'forward', lambda self, feats: runs.append(len(feats[0])) or forward(self, feats))
    search('--thresholds', 0.3, 0.5, 0.7)
    assert sum(runs) == IMAGES
    runs.clear()
    search('--cfg-options', 'test_dataloader.batch_size=3')
    assert runs == [3, 1]


def test_only_the_first_images_count(case: Case, search, tmp_path: Path) -> None:
    report = search('--thresholds', 0.5, '--max-images', 2)
    _, results = case.test(tmp_path / 'test')
    expected = reference(case.folder / 'annotations/instances_val.json', results, [1, 2])
    assert report['images'] == 2
    assert [report['grid'][0][key] for key in ('AP', 'AP50', 'AP75')] == pytest.approx(expected, abs=1e-9)
    assert search('--thresholds', 0.5, '--max-images', 99)['images'] == IMAGES


def test_table_and_files(case: Case, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert case.run('--thresholds', 0.3, 0.6, 0.6) == 0
    folder = Path('work_dirs/tiny/mask_voting')
    assert sorted(path.name for path in folder.iterdir()) == ['curves.png', 'results.csv', 'results.json']
    report = json.loads((folder / 'results.json').read_text())
    by_weight = {w: [row for row in report['grid'] if row['weight'] == w] for w in ('avg', 'score', 'iou')}
    assert report['best'] == {w: max(rows, key=lambda row: row['AP']) for w, rows in by_weight.items()}
    with (folder / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [(row['weight'], row['iou_thr']) for row in rows[:3]] == [('', ''), ('avg', '0.3'), ('avg', '0.6')]
    assert [float(row['AP50']) for row in rows] == [row['AP50'] for row in report['grid']]
    assert cv2.imread(str(folder / 'curves.png')).std() > 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = {line[0]: line[1:] for line in lines if line}
    baseline, best = report['grid'][0], report['best'].values()
    assert [f'{100 * row["AP"]:.2f}' for row in (baseline, *best)] in [line[1:] for line in lines]
    assert ['gain', 'in', 'AP', *(f'{100 * (row["AP"] - baseline["AP"]):+.2f}' for row in best)] in lines
    assert ['IoU', 'threshold', *(f'{row["iou_thr"]:g}' for row in best)] in lines
    for i, iou_thr in enumerate(('0.3', '0.6')):
        assert table[iou_thr] == [f'{100 * rows[i]["AP"]:.2f}' for rows in by_weight.values()]


def test_a_model_that_finds_nothing_has_no_ap(search, tmp_path: Path, capsys) -> None:
    report = search('--thresholds', 0.5, '--cfg-options', 'model.test_cfg.score_thr=0.999')
    assert report['instances'] == 0
    assert {row['AP'] for row in report['grid']} == {0.0}
    assert 'the model found nothing in any image' in capsys.readouterr().out
    assert (tmp_path / 'out/curves.png').is_file()


def last_line(capsys) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ')
    return error


@pytest.mark.parametrize(
    'more, message',
    [
        (['--coco', '{folder}', '--out', '{config}'], 'is an input'),
        (['--coco', '{folder}', '--device', 'nowhere'], '--device nowhere'),
        (['--coco', '{folder}', '--cfg-options', 'model.test_cfg.score_thr=2'], 'score_thr is 2'),
        (['--cfg-options', 'test_dataloader=None'], 'no `test_dataloader`'),
        (
            [
                '--cfg-options',
                'test_dataloader.dataset.data_root={folder}',
                "test_dataloader.dataset.metainfo.classes=['circle','ring']",
            ],
            'the model tells 5 classes apart, {folder}/annotations/instances_val.json has 2',
        ),
    ],
)
def test_what_cannot_be_searched_ends_with_one_line(case: Case, tmp_path: Path, capsys, more, message) -> None:
    paths = case._asdict()
    arguments = [case.config, case.checkpoint, '--out', tmp_path, *(word.format(**paths) for word in more)]
    assert run(command, [str(argument) for argument in arguments]) == 2
    assert message.format(**paths) in last_line(capsys)


def test_ids_of_annotations_mean_nothing(case: Case, search, tmp_path: Path, capsys) -> None:
    expected = search('--thresholds', 0.5)['grid']
    other = case._replace(folder=tmp_path / 'data')
    shutil.copytree(case.folder, other.folder)
    path = other.folder / 'annotations/instances_val.json'
    content = json.loads(path.read_text())
    for i, annotation in enumerate(content['annotations']):
        annotation['id'] = i  # COCO's evaluation takes 0 for "not matched"
    path.write_text(json.dumps(content))
    assert other.run('--out', tmp_path / 'zero', '--thresholds', 0.5) == 0
    assert json.loads((tmp_path / 'zero/results.json').read_text())['grid'] == expected

    rle = content['annotations'][-1]['segmentation']
    rle['counts'] = rle['counts'][:-1]
    path.write_text(json.dumps(content))
    assert other.run('--out', tmp_path / 'zero') == 2
    assert 'its run-length code is' in last_line(capsys)


def test_data_without_annotations(case: Case, tmp_path: Path, capsys) -> None:
    write_shapes(tmp_path / 'data', images=1, val_images=1, size=64, seed=0)
    path = tmp_path / 'data/annotations/instances_val.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'annotations': []}))
    assert case._replace(folder=tmp_path / 'data').run('--out', tmp_path / 'out') == 2
    assert 'instances_val.json: none of its 1 images has an annotation' in last_line(capsys)
    assert not (tmp_path / 'out').exists()


def test_another_head_is_refused(tiny_config: Path, shapes_folder: Path, tmp_path: Path, capsys) -> None:
    cfg = load_config(tiny_config)
    use_coco_folder(cfg, shapes_folder)
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'model.pth')
    case = Case(tiny_config, tmp_path / 'model.pth', shapes_folder)
    assert case.run('--out', tmp_path / 'out') == 2
    assert 'no heads of its SOLO end in a MaskPostProcessor' in last_line(capsys)


@pytest.mark.parametrize(
    'more', [['--thresholds', '1.1'], ['--thresholds', '0.5', '-0.1'], ['--thresholds', 'x'], ['--max-images', '0']]
)
def test_numbers_are_checked(case: Case, capsys, more: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        case.run(*more)
    assert stopped.value.code == 2
    assert f'argument {more[0]}' in capsys.readouterr().err


def test_other_class_names_are_warned_about(case: Case, tmp_path: Path, capsys) -> None:
    content = torch.load(case.checkpoint, weights_only=True)
    content['meta']['dataset_meta']['classes'] = ('a', 'b', 'c', 'd', 'e')
    torch.save(content, tmp_path / 'other.pth')
    other = case._replace(checkpoint=tmp_path / 'other.pth')
    assert other.run('--out', tmp_path / 'out', '--thresholds', 0.5, '--max-images', 1) == 0
    assert 'warning: the checkpoint was trained for other class names' in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_starts_from_anywhere(run, tmp_path: Path) -> None:
    done = run('analysis/mask_voting.py', tmp_path / 'missing.py', tmp_path / 'missing.pth')
    assert done.returncode == 2
    assert 'no such file' in done.stderr.splitlines()[-1]
