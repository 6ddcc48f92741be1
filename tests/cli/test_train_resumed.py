"""A resumed training is bit by bit the one that ran through."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmagg.apis import training
from mmagg.apis.checkpoint import load_checkpoint, secure_loading
from mmagg.cli.main import COMMANDS, run
from mmagg.io.run_folder import newest_whole, noted

# Flips, sizes and colours at random; four images in two batches, so that the order matters as well.
CONFIG = """
_base_ = {base!r}
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=(64, 64), ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackDetInputs')]))
"""
EPOCHS = """
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=100)
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)
"""
ITERATIONS = """
train_cfg = dict(max_iters=4)
train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler'), batch_sampler=None)
"""
EMA = "custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.1)]\n"
# Mask R-CNN samples boxes at random, and this backbone drops paths.
BOXES = """
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(
        _delete_=True, type='SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1),
        drop_path_rate=0.5),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8), mask_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16), mask_head=dict(in_channels=8, conv_out_channels=8)))
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
param_scheduler = []
"""
NO_VAL = ('val_dataloader=None', 'val_evaluator=None')
WORKERS = 'train_dataloader.num_workers={}'
PERSISTENT = 'train_dataloader.persistent_workers=True'


def equal(first: Any, second: Any) -> bool:
    """True if both are the same, tensors bit by bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = [child for file in Path(f'/proc/{pid}/task').glob('*/children') for child in file.read_text().split()]
    return [pid, *(one for child in children for one in family(int(child)))]


def state(work_dir: Path) -> dict[str, Any]:
    """What a training ends with: weights, optimiser, schedules, and where it is."""
    secure_loading()
    content = load_checkpoint(newest_whole(work_dir)[0])
    kept = ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict')
    where = {key: content['meta'][key] for key in ('epoch', 'iter', 'seed')}
    return {key: content[key] for key in kept if key in content} | where


@pytest.fixture
def train(tiny_config: Path, shapes_folder: Path, tmp_path: Path) -> Callable:
    """Trains, in this process."""

    def train(config: str, work_dir: Path, *options: str, arguments: Sequence[object] = ()) -> dict[str, Any]:
        file = tmp_path / 'augmented.py'
        file.write_text(config.format(base=str(tiny_config)))
        words = [file, '--coco', shapes_folder, '--work-dir', work_dir, '--skip-check', *arguments]
        assert run(COMMANDS['train'], [*map(str, words), '--cfg-options', 'val_cfg=None', *NO_VAL, *options]) == 0
        return state(work_dir)

    return train


def test_epochs_without_a_seed_and_with_another_number_of_workers(train, tmp_path):
    whole = train(CONFIG + EPOCHS + EMA, tmp_path / 'whole', WORKERS.format(2), PERSISTENT)
    assert whole['epoch'] == 2
    resume = ['--resume', tmp_path / 'whole/epoch_1.pth']
    assert equal(train(CONFIG + EPOCHS + EMA, tmp_path / 'resumed', arguments=resume), whole)


@pytest.mark.slow
def test_iterations_with_more_workers(train, tmp_path):
    whole = train(CONFIG + ITERATIONS, tmp_path / 'whole', arguments=['--seed', 3])
    for iteration, workers in ((1, 2), (3, 1)):
        resume = ['--resume', tmp_path / f'whole/iter_{iteration}.pth']
        resumed = train(CONFIG + ITERATIONS, tmp_path / f'{workers}', WORKERS.format(workers), arguments=resume)
        assert equal(resumed, whole)


@pytest.mark.slow
def test_a_model_that_draws_random_numbers(train, tmp_path):
    whole = train(BOXES + EPOCHS, tmp_path / 'whole')
    resume = ['--resume', tmp_path / 'whole/epoch_1.pth']
    assert equal(train(BOXES + EPOCHS, tmp_path / 'resumed', WORKERS.format(2), arguments=resume), whole)


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_a_killed_training(processes, root, train, shapes_folder, tmp_path, monkeypatch):
    """Killed again and again within epochs of a second, until it is done."""
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('PYTHON', sys.executable)
    train(CONFIG + EPOCHS, tmp_path / 'seed', arguments=['--seed', 3])  # writes the config
    config = tmp_path / 'augmented.py'
    tool = ['bash', root / 'tools/dist_train.sh', config, processes] if processes > 1 else None
    tool = tool or [sys.executable, root / 'tools/train.py', config]

    def start(work_dir: Path) -> subprocess.Popen:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            monkeypatch.setenv('PORT', str(free.getsockname()[1]))
        words = [*tool, '--coco', shapes_folder, '--work-dir', work_dir, '--skip-check', '--seed', 3, '--resume']
        options = ['--cfg-options', WORKERS.format(2), 'train_cfg.max_epochs=20', 'val_cfg=None', *NO_VAL]
        return subprocess.Popen([*map(str, words), *options], stdout=subprocess.DEVNULL)

    assert start(tmp_path / 'whole').wait(300) == 0
    random, begun = Random(0), None
    for _ in range(3):
        process = start(tmp_path / 'killed')
        while noted(tmp_path / 'killed') == begun and process.poll() is None:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.5))
        for pid in family(process.pid):
            with suppress(ProcessLookupError):  # a worker that has ended with its parent
                os.kill(pid, signal.SIGKILL)
        process.wait()
        begun = noted(tmp_path / 'killed')
    assert begun.name != 'epoch_20.pth'
    assert start(tmp_path / 'killed').wait(300) == 0
    assert equal(state(tmp_path / 'killed'), state(tmp_path / 'whole'))


def test_the_config_of_a_resumed_run_begins_anew_in_another_work_dir(tmp_path) -> None:
    cfg = Config(dict(resume=True, load_from='of_the_other_run.pth'))
    assert training._resume(cfg, True, tmp_path / 'new', overwrite=False, main=True) is None
    assert (cfg.resume, cfg.load_from) == (False, None)
