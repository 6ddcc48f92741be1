"""Schedules of resumed trainings, on a model of four numbers."""

import copy
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmagg.apis.checkpoint import load_from_local
from mmagg.engine.schedules import ScheduleHook
from mmagg.io.errors import InputError

LENGTH = 5  # iterations of an epoch
NUMBER = count()
Config = dict[str, Any]


class Line(BaseModel):
    """A line to fit; its bias is a parameter group of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> Any:
        return {'loss': (self.line(inputs) - inputs.sum()).square().mean()}


class Rates(Hook):
    """What each iteration was trained with."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.seen = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            groups = [group for wrapper in runner.optim_wrapper.values() for group in wrapper.param_groups]
        else:
            groups = runner.optim_wrapper.param_groups
        self.seen.append([(group['lr'], group.get('betas') or group['momentum']) for group in groups])


WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=7)
SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.01)


def config(*schedules: Config, epochs: int = 6, optimizer: Config = SGD, **changes: Any) -> Config:
    """Arguments of a runner; the same numbers each time."""
    torch.manual_seed(0)
    data = torch.rand(LENGTH, 3)
    result = dict(
        model=Line(),
        train_dataloader=dict(dataset=list(data), sampler=dict(type='DefaultSampler', shuffle=True), batch_size=1),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=optimizer, paramwise_cfg=dict(bias_lr_mult=2.0)),
        param_scheduler=list(schedules),
        randomness=dict(seed=0),
        default_scope='mmdet',  # it stays for the tests that follow
        custom_hooks=[],
    )
    return {**result, **changes}


def trained(settings: Config, work_dir: Path, *, resume: Path | None = None, stop: int | None = None) -> tuple:
    """The rates of all iterations, and the weights, of a training in full or until epoch ``stop``."""
    rates, settings = Rates(), copy.deepcopy(settings)
    name = f'run {next(NUMBER)}'
    runner = Runner(
        **settings,
        work_dir=str(work_dir),
        load_from=resume and str(resume),
        resume=resume is not None,
        experiment_name=name,
        visualizer=dict(type='Visualizer', name=name),
    )
    runner.register_hook(ScheduleHook())
    runner.register_hook(rates)
    if stop is not None:
        runner.register_hook(Stop(stop))
    runner.train()
    return rates.seen, copy.deepcopy(runner.model.state_dict())


class Stop(Hook):
    """A kill after the checkpoint of an epoch."""

    priority = 'LOWEST'

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch + 1 == self.epoch:
            runner.train_loop.stop_training = True


def log(work_dir: Path) -> str:
    return ''.join(path.read_text() for path in work_dir.glob('*/*.log'))


COSINE = dict(type='CosineAnnealingLR', by_epoch=True, begin=0, eta_min_ratio=0.01, convert_to_iter_based=True)
CASES = {
    'chained': lambda epochs: [WARM_UP, {**COSINE, 'end': epochs}],
    'epochs and iterations': lambda epochs: [
        WARM_UP,
        dict(type='MultiStepLR', by_epoch=True, milestones=[epochs // 2, epochs - 1], gamma=0.1),
    ],
    'one after another': lambda epochs: [
        WARM_UP,
        dict(type='PolyLR', by_epoch=False, begin=7, end=epochs * LENGTH, power=0.9),
        dict(type='ExponentialLR', gamma=0.9, by_epoch=True),
    ],
    'momentum': lambda epochs: [
        {**COSINE, 'end': epochs},
        dict(type='LinearMomentum', start_factor=0.5, by_epoch=False, begin=0, end=epochs * LENGTH),
    ],
    'one cycle': lambda epochs: [dict(type='OneCycleLR', eta_max=0.2, total_steps=epochs * LENGTH + 1, by_epoch=False)],
}


@pytest.mark.parametrize('schedules', CASES.values(), ids=CASES)
@pytest.mark.parametrize('optimizer', [SGD, dict(type='AdamW', lr=0.1)], ids=['SGD', 'AdamW'])
def test_a_longer_schedule_goes_on_as_if_it_had_been_there(schedules: Callable, optimizer: Config, tmp_path: Path):
    short, long = (config(*schedules(epochs), epochs=epochs, optimizer=optimizer) for epochs in (4, 8))
    trained(short, tmp_path / 'short')
    rates, _ = trained(long, tmp_path / 'long', resume=tmp_path / 'short/epoch_4.pth')
    whole, _ = trained(long, tmp_path / 'whole')
    assert len(rates) == 4 * LENGTH
    assert rates == whole[-len(rates) :]
    lines = [line for line in log(tmp_path / 'long').splitlines() if 'the schedule of the config differs' in line]
    assert len(lines) == 1
    assert f'→ {rates[0][-1][0]:.4g}' in lines[0]


@pytest.mark.parametrize('schedules', CASES.values(), ids=CASES)
@pytest.mark.parametrize('optimizer', [SGD, dict(type='AdamW', lr=0.1)], ids=['SGD', 'AdamW'])
def test_a_killed_run_goes_on_bit_by_bit(schedules: Callable, optimizer: Config, tmp_path: Path) -> None:
    settings = config(*schedules(6), optimizer=optimizer)
    whole, weights = trained(settings, tmp_path / 'whole')
    trained(settings, tmp_path / 'killed', stop=3)
    rates, resumed = trained(settings, tmp_path / 'killed', resume=tmp_path / 'killed/epoch_3.pth')
    assert rates == whole[-len(rates) :]
    assert all(torch.equal(value, weights[key]) for key, value in resumed.items())
    assert 'the schedule of the config' not in log(tmp_path / 'killed')


def test_iterations_alone(tmp_path: Path) -> None:
    def settings(iterations: int) -> Config:
        schedules = [WARM_UP, dict(type='CosineAnnealingLR', by_epoch=False, T_max=iterations, eta_min=0.001)]
        loop = dict(by_epoch=False, max_iters=iterations)
        sampler = dict(type='InfiniteSampler', shuffle=True)
        result = config(
            *schedules,
            train_cfg=loop,
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=8)),
        )
        result['train_dataloader']['sampler'] = sampler
        return result

    trained(settings(8), tmp_path / 'short')
    rates, _ = trained(settings(24), tmp_path / 'long', resume=tmp_path / 'short/iter_8.pth')
    whole, _ = trained(settings(24), tmp_path / 'whole')
    assert rates == whole[8:]


@pytest.mark.parametrize('schedules', [[], [WARM_UP]], ids=['constant', 'scheduled'])
def test_other_settings_of_the_optimiser_count(schedules: list, tmp_path: Path) -> None:
    trained(config(*schedules, epochs=2), tmp_path / 'before')
    optimizer = {**SGD, 'lr': 0.05, 'weight_decay': 0.5}
    settings = config(*schedules, epochs=4, optimizer=optimizer)
    rates, _ = trained(settings, tmp_path / 'after', resume=tmp_path / 'before/epoch_2.pth')
    assert rates == trained(settings, tmp_path / 'whole')[0][-len(rates) :]
    assert 'weight_decay 0.01 → 0.5' in log(tmp_path / 'after')


def test_a_longer_training_with_the_same_schedule_is_said(tmp_path: Path) -> None:
    schedules = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=2, milestones=[1])]
    trained(config(*schedules, epochs=2), tmp_path / 'before')
    rates, _ = trained(config(*schedules, epochs=3), tmp_path / 'after', resume=tmp_path / 'before/epoch_2.pth')
    assert rates[0][-1][0] == pytest.approx(0.01)
    line = "longer than the checkpoint's (2 → 3 epochs), the schedule of the config is not: learning rate 0.01 as"
    assert line in log(tmp_path / 'after')


class Plateau(Hook):
    """A validation that never gets better."""

    def after_train_epoch(self, runner: Runner) -> None:
        for schedule in runner.param_schedulers:
            if getattr(schedule, 'need_val_args', False):
                schedule.step({'score': 0.0})


def test_a_plateau_keeps_its_rate_and_counters(tmp_path: Path) -> None:
    def settings(epochs: int, **changes: Any) -> Config:
        plateau = dict(type='ReduceOnPlateauLR', monitor='score', rule='greater', factor=0.5, patience=1, **changes)
        return config(plateau, epochs=epochs, custom_hooks=[Plateau()])

    whole, _ = trained(settings(8), tmp_path / 'whole')
    trained(settings(4), tmp_path / 'before')
    rates, _ = trained(settings(8), tmp_path / 'after', resume=tmp_path / 'before/epoch_4.pth')
    assert rates == whole[-len(rates) :]
    rates, _ = trained(settings(8, cooldown=9), tmp_path / 'cooler', resume=tmp_path / 'before/epoch_4.pth')
    assert rates[0] == whole[4 * LENGTH]
    assert 'cooldown 0 → 9' in log(tmp_path / 'cooler')


def test_several_optimisers(tmp_path: Path) -> None:
    def settings(epochs: int) -> Config:
        model = Pair()
        torch.manual_seed(0)
        optimisers = OptimWrapperDict(
            **{name: model.optimiser(name, lr) for name, lr in (('first', 0.1), ('second', 0.01))}
        )
        schedules = {'first': [{**COSINE, 'end': epochs}], 'second': [WARM_UP]}
        return config(epochs=epochs, model=model, optim_wrapper=optimisers, param_scheduler=schedules)

    trained(settings(4), tmp_path / 'short')
    rates, _ = trained(settings(8), tmp_path / 'long', resume=tmp_path / 'short/epoch_4.pth')
    whole, _ = trained(settings(8), tmp_path / 'whole')
    assert rates == whole[-len(rates) :]


class Pair(BaseModel):
    """Two numbers, each with an optimiser."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 1), nn.Linear(3, 1)

    def optimiser(self, name: str, lr: float) -> Any:
        from mmengine.optim import OptimWrapper

        return OptimWrapper(torch.optim.SGD(getattr(self, name).parameters(), lr=lr, momentum=0.9))

    def forward(self, inputs: Tensor, mode: str = 'tensor') -> Any:
        raise NotImplementedError

    def train_step(self, data: Any, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        inputs = torch.stack(list(data))
        losses = {}
        for name, wrapper in optim_wrapper.items():
            loss = getattr(self, name)(inputs).square().mean()
            wrapper.update_params(loss)
            losses[f'loss_{name}'] = loss
        return losses


def test_another_optimiser_is_refused(tmp_path: Path) -> None:
    trained(config(epochs=1), tmp_path / 'before')
    settings = config(epochs=2, optimizer=dict(type='AdamW', lr=0.1))
    with pytest.raises(InputError, match=r'has amsgrad, betas.*the checkpoint\'s dampening, momentum'):
        trained(settings, tmp_path / 'after', resume=tmp_path / 'before/epoch_1.pth')


def test_schedules_are_saved_as_data(tmp_path: Path) -> None:
    trained(config(*CASES['one cycle'](1), epochs=1), tmp_path)
    [state] = load_from_local(str(tmp_path / 'epoch_1.pth'), 'cpu')['param_schedulers']
    assert state['total_steps'] == LENGTH + 1


def test_text_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    trained(config(epochs=1), tmp_path / 'before')
    path = tmp_path / 'before/epoch_1.pth'
    content = load_from_local(str(path))
    content['meta']['config'] = f'open({str(tmp_path / "run")!r}, "w")\n'
    torch.save(content, path)
    trained(config(epochs=2), tmp_path / 'after', resume=path)
    assert not (tmp_path / 'run').exists()
