"""What differs between the schedules and the optimiser of a config and those of a checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.optim import _ParamScheduler

from mmagg.io.errors import InputError

NAMES = {'lr': 'learning rate'}
WEIGHTS = ('params', 'param_names')  # what a group holds beside its settings
# What a schedule notes while it runs; all else in its state is a setting.
COUNTERS = ('last_step', '_global_step', '_last_value', 'verbose')
PLATEAU_COUNTERS = ('best', 'num_bad_epochs', 'cooldown_counter')

State = dict[str, Any]


def changed_settings(groups: Sequence[State], saved: Sequence[State]) -> Iterator[str]:
    """The settings of an optimiser that differ, each once; a scheduled one by its value before the schedule.

    Args:
        groups: of the config's optimiser, new.
        saved: of the checkpoint.

    Raises:
        InputError: the optimisers are of different kinds.
    """
    seen: State = {}
    for here, there in zip(groups, saved, strict=False):
        here, there = _initial(here), _initial(there)
        ours, theirs = sorted(here.keys() - there.keys()), sorted(there.keys() - here.keys())
        if ours and theirs:
            raise InputError(
                f"--resume: the config's optimiser has {', '.join(ours)}, the checkpoint's {', '.join(theirs)}: those "
                'are different kinds; keep the optimiser, or start from the weights with --cfg-options load_from=CKPT'
            )
        seen |= {key: (there[key], here[key]) for key in here.keys() & there.keys() if here[key] != there[key]}
    for key, (old, new) in sorted(seen.items()):
        yield f'{NAMES.get(key, key)} {text(old)} → {text(new)}'


def _initial(group: State) -> State:
    """The settings of a group as they are without schedules."""
    # A schedule of Adam's momentum, the first of `betas`, adds a setting of that name.
    copies = ('momentum', 'initial_momentum') if 'betas' in group else ()
    ours = {key: group.get(f'initial_{key}', value) for key, value in without(group, *WEIGHTS, *copies).items()}
    if 'betas' in group and 'initial_momentum' in group:
        ours['betas'] = (group['initial_momentum'], group['betas'][1])
    return {key: value for key, value in ours.items() if not key.startswith('initial_')}


def changed_schedules(schedules: Sequence[_ParamScheduler], saved: Sequence[State]) -> Iterator[str]:
    """The settings of the config's schedules that are not those of the checkpoint's."""
    if len(schedules) != len(saved):
        yield f'{len(saved)} → {len(schedules)} schedules'
    for schedule, old in zip(schedules, saved, strict=False):
        new, old = _settings(schedule.state_dict()), _settings(old)
        name = type(schedule).__name__
        for key in sorted(new.keys() | old.keys()):
            if new.get(key) != old.get(key):
                yield f'{name} {key} {text(old.get(key))} → {text(new.get(key))}'


def _settings(state: Mapping[str, Any]) -> State:
    """The settings in a schedule's state; its base values are the optimiser's."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in state.items()
        if key not in (*COUNTERS, *PLATEAU_COUNTERS, 'base_values') and not callable(value)
    }


def without(group: State, *keys: str) -> State:
    """A group without some of its entries."""
    return {key: value for key, value in group.items() if key not in keys}


def text(value: Any) -> str:
    """A setting, short."""
    if isinstance(value, Mapping):  # milestones are counted
        value = list(value)
    return f'{value:.4g}' if isinstance(value, float) else str(value)[:60]
