"""A model that draws random numbers is trained the same, resumed or not."""

import random
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip('mmengine')
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmagg.apis.checkpoint import load_from_local
from mmagg.engine.random_numbers import RandomNumbersHook, seed_all
from mmagg.engine.rest_of_epoch import RestOfEpochHook
from mmagg.engine.training_runner import TrainingRunner

NUMBER = count()
EPOCHS, LENGTH = 3, 5


class Dropping(BaseModel):
    """A line to fit, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Sequential(nn.Linear(3, 8), nn.Dropout(), nn.Linear(8, 1))

    def forward(self, inputs: list[Tensor], mode: str = 'tensor') -> Any:
        return {'loss': (self.line(torch.stack(inputs)) - inputs[0].sum() * random.random()).square().mean()}


class Noise:
    """Random vectors."""

    def __len__(self) -> int:
        return 2 * LENGTH

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {'inputs': torch.rand(3)}


class Drawing(Hook):
    """Draws between epochs, as a validation may."""

    priority = 'LOWEST'

    def after_train_epoch(self, runner: Runner) -> None:
        torch.rand(7)


class Numbers(Hook):
    """What each iteration begins with, of all generators."""

    def __init__(self) -> None:
        self.seen = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.seen.append((random.random(), np.random.rand(), torch.rand(()).item()))


def trained(work_dir: Path, *, resume: Path | None = None, seed: int = 0, workers: int = 0, **changes: Any) -> tuple:
    """The weights and the numbers of all iterations of a training."""
    torch.manual_seed(0)
    name, numbers = f'numbers {next(NUMBER)}', Numbers()
    settings = dict(
        model=Dropping(),
        train_dataloader=dict(
            dataset=dict(type=Noise), sampler=dict(type='DefaultSampler'), batch_size=2, num_workers=workers
        ),
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        randomness=dict(seed=seed),
        default_scope='mmdet',  # it stays for the tests that follow
        **changes,
    )
    runner = TrainingRunner(
        **settings,
        cfg=dict(randomness=dict(seed=seed)),
        work_dir=str(work_dir),
        load_from=resume and str(resume),
        resume=resume is not None,
        experiment_name=name,
        visualizer=dict(type='Visualizer', name=name),
    )
    for hook in (RandomNumbersHook(), RestOfEpochHook(), numbers, Drawing()):
        runner.register_hook(hook)
    runner.train()
    return runner.model.state_dict(), numbers.seen


def equal(first: dict, second: dict) -> bool:
    """True if weights are the same bit by bit."""
    return all(torch.equal(value, second[key]) for key, value in first.items())


def test_keys_give_their_own_numbers() -> None:
    seen = []
    for key in ((0, 1), (1, 0), (0, 1), (2**31, 2**40)):
        seed_all(*key)
        seen.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert seen[0] == seen[2]
    assert len({number for numbers in seen for number in numbers}) == 9


@pytest.mark.gpu
def test_a_gpu_has_the_numbers_of_a_key_as_well() -> None:
    seen = []
    for key in ((0, 1), (1, 0), (0, 1)):
        torch.rand(1, device='cuda')
        seed_all(*key)
        seen.append(torch.rand(1, device='cuda').item())
    assert seen[0] == seen[2] != seen[1]


def test_a_resumed_training_draws_what_the_whole_one_did(tmp_path: Path) -> None:
    weights, numbers = trained(tmp_path / 'whole')
    assert len({number for iteration in numbers for number in iteration}) == 3 * EPOCHS * LENGTH
    resumed, rest = trained(tmp_path / 'resumed', resume=tmp_path / 'whole/epoch_1.pth', workers=1)
    assert rest == numbers[LENGTH:]
    assert equal(resumed, weights)


@pytest.mark.parametrize('done', [LENGTH - 1, LENGTH, LENGTH + 2])
def test_an_epoch_is_gone_on_with_where_it_was(done: int, tmp_path: Path) -> None:
    hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1))
    weights, numbers = trained(tmp_path / 'whole', default_hooks=hooks)
    resumed, rest = trained(tmp_path / 'resumed', resume=tmp_path / f'whole/iter_{done}.pth', default_hooks=hooks)
    assert rest == numbers[done:]
    assert equal(resumed, weights)
    assert load_from_local(str(tmp_path / 'resumed/iter_15.pth'))['meta']['epoch'] == EPOCHS - 1


def test_another_seed_is_said(tmp_path: Path) -> None:
    weights, _ = trained(tmp_path / 'whole')
    other, _ = trained(tmp_path / 'other', resume=tmp_path / 'whole/epoch_1.pth', seed=5)
    assert not equal(other, weights)
    [log] = (tmp_path / 'other').glob('*/*.log')
    assert "the seed is 5, not the checkpoint's 0: other random numbers from here" in log.read_text()
    assert load_from_local(str(tmp_path / 'other/epoch_2.pth'))['meta']['seed'] == 5
