"""A tiny COCO folder, a tiny config and a tool runner, for the tests that use the tools as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.demo.shapes import write_shapes

Run = Callable[..., subprocess.CompletedProcess]

# mmdet's own SOLO: these tests are about the tools. {iters} iterations, one checkpoint each.
CONFIG = """
_base_ = 'mmdet::solo/solo_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    mask_head=dict(
        in_channels=8, stacked_convs=1, feat_channels=8, num_grids=[8, 6, 4, 3, 2],
        norm_cfg=dict(type='GN', num_groups=4)),
    test_cfg=dict(score_thr=0.0, mask_thr=0.005, filter_thr=0.0, nms_pre=20, max_per_img=10))
for pipeline in (_base_.train_pipeline, _base_.test_pipeline):
    for transform in pipeline:
        if transform['type'] == 'Resize':
            transform['scale'] = (64, 64)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2, val_interval=100)
param_scheduler = []
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1), logger=dict(interval=1))
log_processor = dict(by_epoch=False)
"""


@pytest.fixture(scope='session')
def run(root: Path) -> Run:
    """Runs a tool in its own process; gives exit code, stdout and stderr."""

    def run(tool: str, *args: object, timeout: float = 120) -> subprocess.CompletedProcess:
        path = root / 'tools' / tool
        starter = ['bash'] if path.suffix == '.sh' else [sys.executable]
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHON': sys.executable,
            'CUDA_VISIBLE_DEVICES': '-1',
        }
        command = [*starter, str(path), *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)

    return run


@pytest.fixture(scope='session')
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder with four training and two validation images of 64 by 64 pixels; not to be changed."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(folder, images=4, val_images=2, size=64, seed=0)
    return folder


@pytest.fixture
def annotations(shapes_folder: Path) -> Path:
    """Those of the two validation images; not to be changed."""
    return shapes_folder / 'annotations/instances_val.json'


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SOLO that trains two iterations in a second."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope='session')
def trained(run: Run, shapes_folder: Path, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a finished run of two iterations on `shapes_folder`; not to be changed."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run('train.py', tiny_config, '--coco', shapes_folder, '--work-dir', work_dir, '--seed', 0)
    assert done.returncode == 0, done.stderr
    return work_dir


@pytest.fixture(autouse=True)
def _loading_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools decide for their whole process how checkpoints are read; undo it after each test."""
    from mmengine.runner import CheckpointLoader

    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '')
