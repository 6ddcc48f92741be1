"""The parts of a checkpoint: of the types that those who read them rely on, and without text to execute."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from mmengine.logging import HistoryBuffer
from mmengine.optim import _ParamScheduler
from torch import Tensor

from mmagg.io.errors import InputError

# What mmengine takes for the text of a config, to execute it.
CONFIG_TEXTS = (('meta', 'config'), ('meta', 'cfg'), ('message_hub', 'runtime_info', 'cfg'))


def check_state(state: Any) -> None:
    """Refuse weights that are not tensors by name.

    Raises:
        InputError: names the first that is not.
    """
    wrong = next((key for key, value in state.items() if not isinstance(value, Tensor)), None) if state else None
    if not state or wrong is not None:
        kind = '' if wrong is None else f': {str(wrong)[:80]} is a {type(state[wrong]).__name__}'
        raise InputError(f'no state_dict of tensors in it{kind}')
    check_names(state)


def check_names(state: dict) -> None:
    """Refuse weights of which one has another name than text; what they are is not looked at.

    Raises:
        InputError: says what stands there.
    """
    nameless = next((key for key in state if not isinstance(key, str)), None)
    if nameless is not None:
        raise InputError(f'state_dict has a key of type {type(nameless).__name__}, which is no name')


def check_meta(meta: Any) -> None:
    """Refuse a `meta` whose class names are none.

    Raises:
        InputError: names the part.
    """
    _require(meta, dict, 'meta')
    data = meta.get('dataset_meta') or {}
    _require(data, dict, 'meta.dataset_meta')
    for place, names in (
        *((f'meta.dataset_meta.{key}', data[key]) for key in data if str(key).lower() == 'classes'),
        ('meta.CLASSES', meta.get('CLASSES')),
    ):
        if names is not None:
            _require(names, list | tuple, place)
            for number, name in enumerate(names):
                _require(name, str, f'{place}.{number}')


def check_resumable(checkpoint: Mapping[str, Any]) -> None:
    """Refuse what a training cannot go on from: its counts, its log, and the states of its optimiser and schedules.

    Args:
        checkpoint: of a training, with `message_hub` and `optimizer`.

    Raises:
        InputError: names the part.
    """
    for key in ('epoch', 'iter'):
        _require_count(checkpoint['meta'].get(key), f'meta.{key}')
    seed = checkpoint['meta'].get('seed')
    if seed is not None:
        _require_count(seed, 'meta.seed')
    _check_log(checkpoint['message_hub'])
    optimizers = checkpoint['optimizer']
    _require(optimizers, dict, 'optimizer')
    if {'param_groups', 'state'} & {*optimizers}:
        _check_optimizer(optimizers, 'optimizer')
    else:
        for name, optimizer in optimizers.items():
            _check_optimizer(optimizer, f'optimizer.{name}')
    schedules = checkpoint.get('param_schedulers')
    if schedules is not None:
        _require(schedules, list | dict, 'param_schedulers')
        groups = schedules.items() if isinstance(schedules, dict) else [('', schedules)]
        for name, group in groups:
            place = f'param_schedulers.{name}'.rstrip('.')
            _require(group, list, place)
            for number, schedule in enumerate(group):
                _check_schedule(schedule, f'{place}.{number}')
    if 'ema_state_dict' in checkpoint:
        _check_averages(checkpoint['ema_state_dict'], checkpoint['state_dict'])


def drop_config_texts(content: dict) -> None:
    """Forget the configs in a checkpoint, in place: mmengine would execute them, for one when it resumes a training."""
    for *places, key in CONFIG_TEXTS:
        part: Any = content
        for place in places:
            part = part.get(place) if isinstance(part, dict) else None
        if isinstance(part, dict):
            part.pop(key, None)


def _check_log(hub: Any) -> None:
    _require(hub, dict, 'message_hub')
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        _require(hub.get(key), dict, f'message_hub.{key}')
    for name, log in hub['log_scalars'].items():
        _require(log, HistoryBuffer, f'message_hub.log_scalars.{name}')
    for name, resumed in hub['resumed_keys'].items():
        _require(resumed, bool, f'message_hub.resumed_keys.{name}')
    for name in hub['runtime_info']:
        _require(name, str, f'message_hub.runtime_info: {name!r:.40}')
    # What mmengine's CheckpointHook and ours go by, which delete files.
    info, place = hub['runtime_info'], 'message_hub.runtime_info'
    kept = info.get('keep_ckpt_ids', [])
    _require(kept, list, f'{place}.keep_ckpt_ids')
    for number, step in enumerate(kept):
        _require_count(step, f'{place}.keep_ckpt_ids.{number}')
    for key, value in info.items():
        if str(key).startswith(('best_ckpt', 'last_ckpt')) and value is not None:
            _require(value, str, f'{place}.{key}')
        if str(key).startswith('best_score'):
            _require(value, Real, f'{place}.{key}')


def _check_optimizer(state: Any, place: str) -> None:
    _require(state, dict, place)
    _require(state.get('state'), dict, f'{place}.state')
    for index, values in state['state'].items():
        _require(values, dict, f'{place}.state.{index}')
        for name, value in values.items():
            if isinstance(value, str | bytes):  # what else there is, its optimiser knows
                _require(value, Tensor, f'{place}.state.{index}.{name}')
    _require(state.get('param_groups'), list, f'{place}.param_groups')
    for number, group in enumerate(state['param_groups']):
        _require(group, dict, f'{place}.param_groups.{number}')
        _require(group.get('params'), list, f'{place}.param_groups.{number}.params')
        _require(group.get('lr'), Real | Tensor, f'{place}.param_groups.{number}.lr')
    if state.get('base_param_settings') is not None:
        _require(state['base_param_settings'], dict, f'{place}.base_param_settings')
        _require(state['base_param_settings'].get('lr'), Real | Tensor, f'{place}.base_param_settings.lr')


def _check_schedule(state: Any, place: str) -> None:
    """Counters must be numbers, and nothing may stand in the place of a method, as mmengine sets all attributes."""
    _require(state, dict, place)
    for key, value in state.items():
        _require(key, str, f'{place}: {key!r:.40}')
        if callable(getattr(_ParamScheduler, key, None)):
            raise InputError(f'{place}.{key} is no part of a schedule')
        if key in ('last_step', '_global_step', 'num_bad_epochs', 'cooldown_counter', 'best'):
            _require(value, Real, f'{place}.{key}')
        if key in ('base_values', '_last_value'):
            _require(value, list, f'{place}.{key}')
            for number, one in enumerate(value):
                _require(one, Real | Tensor, f'{place}.{key}.{number}')


def _check_averages(averages: Any, state: Mapping[str, Tensor]) -> None:
    """Averages must be those of the weights, of their shapes: mmengine exchanges them, and would leave out others."""
    _require(averages, dict, 'ema_state_dict')
    for key, value in averages.items():
        _require(key, str, f'ema_state_dict: {key!r:.40}')
        _require(value, Tensor, f'ema_state_dict.{key}')
        weight = state.get(key.removeprefix('module.'), value)
        if weight.shape != value.shape:
            raise InputError(f'ema_state_dict.{key} is {tuple(value.shape)}, its weight {tuple(weight.shape)}')
    if (missing := next((key for key in state if f'module.{key}' not in averages), None)) is not None:
        raise InputError(f'ema_state_dict has no average of {missing}')


def _require(value: Any, kind: Any, place: str) -> None:
    if not isinstance(value, kind):
        names = {list | tuple: 'list', list | dict: 'list', Real: 'number', Real | Tensor: 'number'}
        wanted = names.get(kind) or kind.__name__
        found = 'is missing' if value is None else f'is a {type(value).__name__}'
        raise InputError(f'{place} {found}, where a {wanted} is wanted')


def _require_count(value: Any, place: str) -> None:
    if type(value) is not int or not 0 <= value < 2**63:
        found = 'is missing' if value is None else f'is {str(value)[:40]}' if type(value) is int else ''
        raise InputError(f'{place} {found or f"is a {type(value).__name__}"}, where a whole number from 0 is wanted')
