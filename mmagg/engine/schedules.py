"""Schedules of a resumed training: the config's count, where they are not those of the checkpoint.

mmengine restores learning rates and schedules as a checkpoint has them, settings included. A config that trains longer,
or with another learning rate, would change nothing: the training would go on with the last, tiny rate.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmagg.engine.schedule_changes import (
    COUNTERS,
    NAMES,
    PLATEAU_COUNTERS,
    WEIGHTS,
    State,
    changed_schedules,
    changed_settings,
    text,
    without,
)

SHOWN = 4  # settings that the line names


class ScheduleHook(Hook):
    """Sets a resumed training to where the config's schedules are after the checkpoint's epochs and iterations.

    They are run through from the start on the new optimiser, so chained ones give bit by bit what they would have given
    in a training of this config from the beginning. One line says what is changed. If the settings of the checkpoint's
    schedules and optimiser are the config's, all stays as mmengine restores it.

    A `ReduceOnPlateauLR` depends on past validations: its settings become the config's, its counters and the rate stay.
    """

    priority = 'VERY_HIGH'  # before other hooks see the rates
    changes: tuple[str, ...] = ()
    longer: str | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Before mmengine restores the optimiser: note the state that the config asks for, if it is another one.

        Raises:
            InputError: the optimiser is of another kind than the checkpoint's.
        """
        if not runner._resume:
            return
        meta = checkpoint['meta']
        meta.pop('config', None)  # mmengine would run this text as Python code; also where it is trusted
        if 'optimizer' not in checkpoint:  # mmengine goes on with the config's, from the start
            return
        wrappers, schedules = _wrappers(runner.optim_wrapper), _by_optimiser(runner.param_schedulers)
        saved = _by_optimiser(checkpoint.get('param_schedulers'))
        saved_groups = {name: list(_saved_groups(checkpoint['optimizer'], name)) for name in wrappers}
        self.changes = tuple(
            change
            for name, wrapper in wrappers.items()
            for change in (
                *changed_settings(wrapper.param_groups, saved_groups[name]),
                *changed_schedules(schedules.get(name, []), saved.get(name, [])),
            )
        )
        every = [schedule for group in schedules.values() for schedule in group]
        if not self.changes:
            if every and all(meta['epoch' if one.by_epoch else 'iter'] >= one.end for one in every):
                self.longer = _longer(runner, checkpoint['message_hub']['runtime_info'])
            return
        run_through(every, epochs=meta['epoch'], iterations=meta['iter'], length=len(runner.train_dataloader))
        self.states = {
            name: [
                _with_counters(schedule, old) for schedule, old in zip_longest(group, saved.get(name, [])[: len(group)])
            ]
            for name, group in schedules.items()
        }
        self.groups = {
            name: [
                without(group, *WEIGHTS, *_kept(schedules.get(name, []), saved.get(name, [])))
                for group in wrapper.param_groups
            ]
            for name, wrapper in wrappers.items()
        }

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Leave out functions, which `OneCycleLR` has in its state: checkpoints are data, and the config makes them."""
        for group in _by_optimiser(checkpoint.get('param_schedulers')).values():
            group[:] = [{key: value for key, value in state.items() if not callable(value)} for state in group]

    def before_train(self, runner: Runner) -> None:
        """After mmengine has restored the checkpoint's state: set the noted one."""
        if not self.changes:
            if self.longer:
                rates = [rate for wrapper in _wrappers(runner.optim_wrapper).values() for rate in _rates(wrapper)]
                runner.logger.info(
                    f"the training is longer than the checkpoint's ({self.longer}), the schedule of the config is not: "
                    f'{", ".join(rates)} from here; see `end` in param_scheduler'
                )
            return
        rates = []
        for name, wrapper in _wrappers(runner.optim_wrapper).items():
            before = dict(wrapper.param_groups[-1])
            for group, settings in zip(wrapper.param_groups, self.groups[name], strict=True):
                group.update(settings)
            rates += _rates(wrapper, before)
        for name, group in _by_optimiser(runner.param_schedulers).items():
            for schedule, state in zip(group, self.states[name], strict=True):
                schedule.load_state_dict(state)
        more = f', … ({len(self.changes)} in all)' if len(self.changes) > SHOWN else ''
        runner.logger.info(
            f"the schedule of the config differs from the checkpoint's ({', '.join(self.changes[:SHOWN])}{more}): "
            f'{", ".join(rates)} from here'
        )


def run_through(schedules: Sequence[_ParamScheduler], *, epochs: int, iterations: int, length: int) -> None:
    """Step new schedules as a training does that has completed ``epochs`` and ``iterations``.

    Args:
        schedules: in the order of the config, not stepped yet.
        epochs: completed ones; those that count epochs step after the last iteration of each.
        iterations: completed ones, of all epochs.
        length: iterations of an epoch now; if that cannot have been the past epochs' length, those were equally long.
    """
    if epochs and not 0 <= iterations - epochs * length < length:
        length = iterations // epochs
    by_epoch = [schedule for schedule in schedules if schedule.by_epoch]
    by_iteration = [schedule for schedule in schedules if not schedule.by_epoch]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimiser has not stepped before them
        for iteration in range(1, iterations + 1):
            for schedule in by_iteration:
                schedule.step()
            if iteration % length == 0 and iteration <= epochs * length:
                for schedule in by_epoch:
                    schedule.step()


def _wrappers(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, OptimWrapper]:
    """The optimisers by name; the only one has none."""
    return dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}


def _by_optimiser(schedules: list | dict | None) -> dict[str, list]:
    return schedules if isinstance(schedules, dict) else {'': schedules or []}


def _saved_groups(saved: dict, name: str) -> Iterator[State]:
    """A checkpoint's groups of one optimiser, and what mmengine keeps as their base if there are several."""
    saved = saved[name] if name else saved
    yield from saved['param_groups']
    if saved.get('base_param_settings'):
        yield saved['base_param_settings']


def _on_plateau(schedule: _ParamScheduler, old: State) -> bool:
    """True for a schedule by past validations that goes on with the checkpoint's counters."""
    if not getattr(schedule, 'need_val_args', False):
        return False
    return all(old.get(key) == getattr(schedule, key) for key in ('monitor', 'rule'))


def _with_counters(schedule: _ParamScheduler, old: State | None) -> State:
    """The state of a schedule; one on a plateau has the checkpoint's counters."""
    if old is None or not _on_plateau(schedule, old):
        return schedule.state_dict()
    return {**schedule.state_dict(), **{key: old[key] for key in (*COUNTERS, *PLATEAU_COUNTERS)}}


def _kept(schedules: Sequence[_ParamScheduler], saved: Sequence[State]) -> list[str]:
    """The names of settings that past validations have changed."""
    names = [schedule.param_name for schedule, old in zip(schedules, saved, strict=False) if _on_plateau(schedule, old)]
    return [*names, 'betas'] if 'momentum' in names else names


def _rates(wrapper: OptimWrapper, before: State | None = None) -> Iterator[str]:
    """What is scheduled, after a change and ``before`` it; of several groups, the last one is the base of all."""
    group = wrapper.param_groups[-1]
    scheduled = [key.removeprefix('initial_') for key in group if key.startswith('initial_')]
    for key in dict.fromkeys(['lr', *scheduled]):
        old, new = (before or group).get(key), group[key]
        change = f'{text(new)} as before' if old == new else f'{text(old)} → {text(new)}'
        yield f'{NAMES.get(key, key)} {change}'


def _longer(runner: Runner, info: Mapping[str, Any]) -> str | None:
    """How much longer a training is than that of a checkpoint, if it is."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    key, unit = ('max_epochs', 'epochs') if by_epoch else ('max_iters', 'iterations')
    old, new = info.get(key), getattr(runner, key)
    return f'{old} → {new} {unit}' if old is not None and new > old else None
