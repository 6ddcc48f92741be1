"""The length of a training, and of all that goes with it (`--epochs`)."""

from typing import Any

from mmengine.config import Config

from mmagg.datasets.config_parts import dicts, type_name
from mmagg.io.errors import InputError

TIMES = ('begin', 'end', 'T_max', 'total_steps', 'step_size')  # of schedules
LISTS = ('milestones', 'periods')
HOOK_TIMES = ('begin_epoch', 'num_last_epochs', 'switch_epoch')  # of mmdet's and mmengine's hooks
WARM_UP = ('ConstantLR', 'LinearLR')


def set_epochs(cfg: Config, epochs: int) -> None:
    """Let a training have this many epochs, in place; what happens on the way happens at the same share of it.

    Schedules keep their form: ends, milestones and periods are moved in proportion. A warm-up by iterations stays as
    long as it is. The number of validations stays, one an epoch at most; so does that of checkpoints, but where the
    config deletes old ones (`max_keep_ckpts`) they do not become rarer.

    Args:
        cfg: the whole config.
        epochs: from 1.

    Raises:
        InputError: the config counts iterations.
    """
    loop = cfg.train_cfg
    old = loop.get('max_epochs')
    if old is None:
        raise InputError(
            f'--epochs {epochs}: the config counts iterations; set --cfg-options train_cfg.max_iters=N and the end of '
            'its schedules (param_scheduler)'
        )
    if not isinstance(old, int | float) or old < 1:
        return  # `check_settings` says so
    factor = epochs / old
    loop.max_epochs = epochs
    loop.val_interval = _moved(loop.get('val_interval', 1), factor)
    if loop.get('dynamic_intervals'):
        loop.dynamic_intervals = [
            (_moved(begin, factor), _moved(interval, factor)) for begin, interval in loop.dynamic_intervals
        ]
    if loop.get('val_begin', 1) > 1:
        loop.val_begin = _moved(loop.val_begin, factor)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if hook.get('by_epoch', True) and hook.get('interval', 1) > 0:
        interval = _moved(hook.get('interval', 1), factor)
        hook['interval'] = min(interval, hook.get('interval', 1)) if hook.get('max_keep_ckpts', -1) > 0 else interval
    for hook in cfg.get('custom_hooks') or ():
        for key in HOOK_TIMES:
            if hook.get(key):
                hook[key] = _moved(hook[key], factor)
    for schedule in _schedules(cfg.get('param_scheduler')):
        _move(schedule, factor)


def warm_up_note(cfg: Config, iterations: int) -> str | None:
    """A line where a warm-up by iterations takes the whole training, of this many iterations, or longer."""
    for place, schedule in dicts(cfg.get('param_scheduler'), 'param_scheduler'):
        if _is_warm_up(schedule) and isinstance(end := schedule.get('end'), int) and iterations <= end:
            return (
                f'the warm-up is {end} steps, the training {iterations}: the learning rate stays below its value; '
                f'raise --epochs, or shorten the warm-up with --cfg-options {place}.end={max(1, iterations // 10)}'
            )
    return None


def _move(schedule: dict, factor: float) -> None:
    """Move all times of a schedule, unless it is a warm-up by iterations."""
    if _is_warm_up(schedule):
        return
    for key in TIMES:
        if isinstance(schedule.get(key), int):
            schedule[key] = _moved(schedule[key], factor) if schedule[key] > 0 else schedule[key]
    for key in LISTS:
        if schedule.get(key):
            schedule[key] = [_moved(time, factor) for time in schedule[key]]
    if isinstance(schedule.get('end'), int):  # mmengine wants it after the beginning
        schedule['end'] = max(schedule['end'], schedule.get('begin', 0) + 1)


def _is_warm_up(schedule: dict) -> bool:
    return not schedule.get('by_epoch', True) and type_name(schedule) in WARM_UP and not schedule.get('begin')


def _moved(time: int, factor: float) -> int:
    return max(1, round(time * factor))


def _schedules(schedules: Any) -> list[dict]:
    """All schedules of a config, which may have one, several, or several for each optimiser."""
    if not schedules:
        return []
    if isinstance(schedules, list | tuple):
        return list(schedules)
    return [schedules] if 'type' in schedules else [one for group in schedules.values() for one in _schedules(group)]
