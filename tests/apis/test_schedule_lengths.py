"""The length of a training and what goes with it."""

import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config, shipped_config
from mmagg.apis.schedule_lengths import set_epochs, warm_up_note
from mmagg.io.errors import InputError


def of_length(config: str | Config, epochs: int, **options) -> Config:
    cfg = config if isinstance(config, Config) else load_config(shipped_config(config))
    cfg.merge_from_dict(options)
    set_epochs(cfg, epochs)
    return cfg


def test_the_papers_schedules_are_multiples_of_each_other() -> None:
    one, three = 'solo/solo_r50_fpn_1x_coco.py', 'solo/solo_r50_fpn_3x_coco.py'
    cfg, paper = of_length(one, 36), load_config(shipped_config(three))
    warm_up, steps = cfg.param_scheduler
    assert warm_up == paper.param_scheduler[0]  # counts iterations
    assert (steps.end, cfg.train_cfg.max_epochs) == (36, 36)
    assert steps.milestones == [24, 33]  # SOLO's own 3x has 27 and 33
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (3, 3)  # 12 of each, as before
    back = of_length(cfg, 12)
    assert back.to_dict() == load_config(shipped_config(one)).to_dict()


def test_kept_checkpoints_do_not_become_rarer() -> None:
    cfg = of_length('demo/solo_tiny_shapes.py', 140)
    assert cfg.param_scheduler[1].end == 140
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (70, 1)
    short = of_length('demo/solo_tiny_fit.py', 30)
    assert (short.train_cfg.val_interval, short.default_hooks.checkpoint.interval) == (10, 10)


def test_one_epoch_is_a_schedule_too() -> None:
    cfg = of_length('solo/solo_r50_fpn_1x_coco.py', 1)
    assert (cfg.param_scheduler[1].end, cfg.param_scheduler[1].milestones) == (1, [1, 1])
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (1, 1)


def test_hooks_and_iterations_move_along() -> None:
    schedules = [
        dict(type='LinearLR', by_epoch=True, begin=0, end=5, start_factor=0.1),
        dict(type='CosineAnnealingLR', by_epoch=True, begin=5, T_max=285, end=300),
        dict(type='PolyLR', by_epoch=False, begin=500, end=9000),
    ]
    hooks = [dict(type='PipelineSwitchHook', switch_epoch=280, switch_pipeline=[]), dict(type='FiniteLossHook')]
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=300, val_interval=10, dynamic_intervals=[(280, 1)]),
            param_scheduler=dict(one=schedules),
            custom_hooks=hooks,
        )
    )
    cfg = of_length(cfg, 30)
    first, second, third = cfg.param_scheduler.one
    assert (first.begin, first.end, second.begin, second.end, second.T_max) == (0, 1, 1, 30, 28)
    assert (third.begin, third.end) == (50, 900)
    assert cfg.custom_hooks[0].switch_epoch == 28
    assert list(map(tuple, cfg.train_cfg.dynamic_intervals)) == [(28, 1)]


def test_trainings_by_iterations_are_refused() -> None:
    with pytest.raises(InputError, match='--epochs 3: the config counts iterations'):
        of_length(Config(dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=100))), 3)


OWN = shipped_config('own/blendmask_lite0_fpn_320.py')


def test_a_warm_up_that_outlasts_the_training_is_said() -> None:
    note = warm_up_note(load_config(OWN), 40)
    assert note == (
        'the warm-up is 50 steps, the training 40: the learning rate stays below its value; raise --epochs, or shorten '
        'the warm-up with --cfg-options param_scheduler.0.end=4'
    )
    assert warm_up_note(load_config(OWN), 1).endswith('param_scheduler.0.end=1')


@pytest.mark.parametrize(
    'options',
    [
        {'param_scheduler.0.end': 39},
        {'param_scheduler.0.by_epoch': True, 'param_scheduler.0.end': 2},
        {'param_scheduler.0.begin': 30},
        {'param_scheduler': None},
    ],
)
def test_of_other_schedules_nothing_is_said(options) -> None:
    assert warm_up_note(load_config(OWN, options), 40) is None


def test_a_warm_up_of_one_schedule_alone_is_named_by_its_key() -> None:
    cfg = load_config(OWN)
    cfg.param_scheduler = cfg.param_scheduler[0]
    assert warm_up_note(cfg, 40).endswith('param_scheduler.end=4')
