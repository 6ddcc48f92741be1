"""Helper variables of config files: `max_epochs = 12` at the top of a file, which uses it in the lines below.

mmengine keeps them as keys of the config, so that an option changes them without a word; but they have been used when
the file was read, and nobody reads them any more. Such an option is refused, with the keys that it should have named.
"""

import inspect
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from mmengine.runner import Runner

from mmagg.datasets.config_parts import parts
from mmagg.io.errors import InputError

# Read by mmengine or mmdet, but no argument of the Runner.
TOP_LEVEL_KEYS = {
    'activation_checkpointing',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
RUNNER_KEYS = frozenset({*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'})
READ_KEYS = RUNNER_KEYS | TOP_LEVEL_KEYS
SHOWN = 4  # keys that a message names


def refuse_helper(key: str, cfg: Mapping[str, Any]) -> None:
    """Refuse an option for a helper variable.

    Args:
        key: the option's dotted key.
        cfg: the config before the option.

    Raises:
        InputError: names the places of the config that hold the variable's value.
    """
    name, dot, below = key.partition('.')
    read = READ_KEYS - ({'data_preprocessor'} if (cfg.get('model') or {}).get('data_preprocessor') else set())
    if name in read or name not in cfg:
        return
    places = list(parts({key: value for key, value in cfg.items() if key in read}))
    named = [place for place, _ in places if _last(place) == name]
    same = [place for place, held in places if _says(place, held, name, cfg[name])]
    found = sorted(same, key=lambda place: _alike(_last(place), name), reverse=True) or named
    more = f' … ({len(found)} keys)' if len(found) > SHOWN else ''
    instead = ', '.join(place + dot + below for place in found[:SHOWN]) + more
    raise InputError(
        f'--cfg-options {key}: `{name}` is a helper variable of the config file and has been used already; '
        f'set {instead or "it in the file itself"}'
    )


def _says(place: str, held: Any, name: str, value: Any) -> bool:
    """True if a place seems to have its value from a helper variable; values that are common say nothing."""
    if type(held) is not type(value) or held != value:
        return isinstance(value, str) and isinstance(held, str) and len(value) > 2 and value in held  # a path below it
    if _last(place) == name:
        return True
    if isinstance(value, int | float):  # in a model, as a stride or channels, the same number is likely another
        return not isinstance(value, bool) and not _last(place).isdigit() and not place.startswith('model.')
    return bool(value)


def _alike(one: str, other: str) -> float:
    """How much two names have in common, up to 1; `epochs` is more like `max_epochs` than like `interval`."""
    return SequenceMatcher(None, one, other).ratio()


def _last(place: str) -> str:
    return place.rpartition('.')[2]
