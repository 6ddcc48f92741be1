"""Mask R-CNN with A2-FPN, as a user trains and tests it: what is logged, what the checkpoint holds, what is found."""

import json
import math
from pathlib import Path

import pytest

from mmagg.apis.checkpoint import load_checkpoint, secure_loading

CONFIG = 'mask-rcnn-a2fpn_tiny_shapes.py'
LOSSES = ('loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask', 'loss_orth')
OPTIONS = (  # two epochs of two iterations, validated by tools/test.py
    'train_cfg.max_epochs=2',
    'train_dataloader.dataset.indices=4',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'test_dataloader.dataset.indices=2',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
    'val_cfg=None',
    'val_dataloader=None',
    'val_evaluator=None',
    'model.test_cfg.rcnn.score_thr=0.0',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
)


@pytest.fixture(params=['shapes', pytest.param('photographs', marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest) -> Path:
    """A COCO folder, generated or of the reference material."""
    if request.param == 'shapes':
        return request.getfixturevalue('shapes_folder')
    return request.getfixturevalue('shared') / 'data' / 'coco_open_125'


def categories(folder: Path) -> list[int]:
    """The category ids of a COCO folder."""
    return [c['id'] for c in json.loads((folder / 'annotations' / 'instances_train.json').read_text())['categories']]


def test_trains_and_tests(folder: Path, root: Path, run, tmp_path: Path) -> None:
    arguments = [root / 'configs' / 'demo' / CONFIG, '--coco', folder, '--work-dir', tmp_path]
    done = run('train.py', *arguments, '--cfg-options', *OPTIONS)
    assert done.returncode == 0, done.stderr[-2000:]
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry['step'] for entry in logged] == [1, 2, 3, 4]
    for name in LOSSES:
        assert all(math.isfinite(entry[name]) for entry in logged), name
    assert logged[-1]['loss_orth'] > logged[0]['loss_orth'], 'the entities start orthogonal, then learn'

    secure_loading()
    checkpoint = load_checkpoint(tmp_path / 'epoch_2.pth')
    classes = categories(folder)
    assert len(checkpoint['state_dict']['roi_head.bbox_head.fc_cls.bias']) == len(classes) + 1
    assert len(checkpoint['state_dict']['roi_head.mask_head.conv_logits.bias']) == len(classes)
    optimizer = checkpoint['optimizer']
    parameters = {number for group in optimizer['param_groups'] for number in group['params']}
    assert set(optimizer['state']) == parameters, 'every parameter takes part in the losses'

    outputs = ['--work-dir', tmp_path / 'test', '--out', tmp_path / 'results.json']
    done = run('test.py', tmp_path / CONFIG, tmp_path / 'epoch_2.pth', *outputs)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / 'results.json').read_text())
    assert {result['category_id'] for result in results} <= set(classes)
    assert len({result['image_id'] for result in results}) == 2
    metrics = json.loads((tmp_path / 'test' / 'metrics.json').read_text())
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(metrics)
