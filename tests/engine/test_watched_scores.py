"""Names of scores at the first validation."""

from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, LoggerHook, ParamSchedulerHook
from mmengine.optim import ReduceOnPlateauLR
from mmengine.runner import get_priority
from torch import nn, optim

from mmagg.engine.validation_loss import ValidationLossHook
from mmagg.engine.watched_scores import WatchedScoresHook
from mmagg.io.errors import InputError

PLATEAU = ReduceOnPlateauLR(optim.SGD(nn.Linear(1, 1).parameters(), lr=1), monitor='mAP')


@pytest.mark.parametrize(
    'hooks, schedules, message',
    [
        ([CheckpointHook(save_best='mAP')], None, r"save_best='mAP': .*did you mean a/mAP\?\); there are a/mAP, loss"),
        ([EarlyStoppingHook(monitor='mAP')], [], "EarlyStoppingHook monitor='mAP'"),
        ([], [PLATEAU], "ReduceOnPlateauLR monitor='mAP'"),
        ([], {'first': [PLATEAU]}, "ReduceOnPlateauLR monitor='mAP'"),
    ],
)
def test_unknown_names_end_the_training(hooks: list, schedules: object, message: str) -> None:
    runner = SimpleNamespace(hooks=hooks, param_schedulers=schedules)
    with pytest.raises(InputError, match=message):
        WatchedScoresHook().after_val_epoch(runner, {'a/mAP': 0.5, 'loss': 1.0})
    WatchedScoresHook().after_val_epoch(runner, {'mAP': 0.5})
    WatchedScoresHook().after_val_epoch(runner, {})


def test_auto_is_no_name() -> None:
    hook = CheckpointHook(save_best='auto')
    WatchedScoresHook().after_val_epoch(SimpleNamespace(hooks=[hook], param_schedulers=None), {'a/mAP': 0.5})


def test_it_looks_after_all_scores_are_there_and_before_they_are_read() -> None:
    place = get_priority(WatchedScoresHook.priority)
    assert max(get_priority(hook.priority) for hook in (ValidationLossHook, LoggerHook)) < place
    assert place < min(get_priority(hook.priority) for hook in (ParamSchedulerHook, CheckpointHook, EarlyStoppingHook))


def test_a_score_of_no_objects_is_said_once() -> None:
    said = []
    hooks = [CheckpointHook(save_best=['mAP', 'mAP_l'], rule='greater')]
    logger = SimpleNamespace(warning=said.append)
    runner, hook = SimpleNamespace(hooks=hooks, param_schedulers=[], logger=logger), WatchedScoresHook()
    for _ in range(2):
        hook.after_val_epoch(runner, {'mAP': 0.5, 'mAP_l': -1.0})
    assert said == ["save_best='mAP_l': the validation has no objects that it scores"]
