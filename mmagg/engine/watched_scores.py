"""Scores that a training watches: the best checkpoint, early stopping and schedules by plateau name them."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.optim import _ParamScheduler
from mmengine.runner import Runner

from mmagg.io.errors import InputError

LOSSES = 'val/'  # the start of the names that `ValidationLossHook` adds


class WatchedScoresHook(Hook):
    """Ends a training at its first validation where that has no score of a watched name.

    For the names of metrics that no config tells; `mmagg.apis.watched_scores` looks at the others before a training.
    """

    priority = 65  # after the scores have been logged, before anything reads them

    def __init__(self) -> None:
        self.absent: set[str] = set()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Look for the names; a model that finds nothing may have no scores at all. Say which score is never there.

        Raises:
            InputError: names what is watched, and the scores that there are.
        """
        if not metrics:
            return
        for place, names in _watched(runner):
            refuse_unknown(place, names, metrics)
            for name in set(names) - self.absent:
                if metrics.get(name) == -1:
                    runner.logger.warning(f'{place}={name!r}: the validation has no objects that it scores')
                    self.absent.add(name)


def refuse_unknown(place: str, names: Collection[str], known: Collection[str]) -> None:
    """Refuse watched scores that no validation has.

    Args:
        place: what watches them, as the config has it.
        names: of the scores; `auto` stands for the first one.
        known: the names that there are.

    Raises:
        InputError: names the first one that is unknown, the nearest names and all others.
    """
    for name in names:
        if name == 'auto' or name in known:
            continue
        near = [one for one in known if one.rpartition('/')[2] == name] or difflib.get_close_matches(name, known, n=2)
        meant = f' (did you mean {" or ".join(near)}?)' if near else ''
        added = ' --val-loss adds those that start with val/.' if name.startswith(LOSSES) else ''
        raise InputError(f'{place}={name!r}: no score of this name{meant}; there are {", ".join(known)}.{added}')


def _watched(runner: Runner) -> Iterator[tuple[str, list[str]]]:
    """What hooks and schedules of a runner watch, by their place."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            yield 'save_best', hook.save_best
        elif isinstance(hook, EarlyStoppingHook):
            yield 'EarlyStoppingHook monitor', [hook.monitor]
    schedules: Any = runner.param_schedulers or []
    for group in schedules.values() if isinstance(schedules, Mapping) else [schedules]:
        for schedule in group:
            if isinstance(schedule, _ParamScheduler) and getattr(schedule, 'need_val_args', False):
                yield f'{type(schedule).__name__} monitor', [schedule.monitor]
