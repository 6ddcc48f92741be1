"""Parts of a config: all that is inside one, and the class that one names."""

from collections.abc import Iterator
from reprlib import repr as shortened
from typing import Any

from mmengine.config import Config

from mmagg.io.errors import InputError


def parts(part: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """A part of a config and all that its dicts and lists hold, each with its dotted key, which begins with ``key``."""
    yield key, part
    if isinstance(part, dict | Config):
        inner = part.items()
    else:
        inner = enumerate(part) if isinstance(part, list | tuple) else ()
    for name, value in inner:
        yield from parts(value, f'{key}.{name}' if key else str(name))


def dicts(part: Any, key: str = '') -> Iterator[tuple[str, dict]]:
    """The dicts among `parts`."""
    return ((place, inner) for place, inner in parts(part, key) if isinstance(inner, dict))


def type_name(part: Any) -> str:
    """The name, without a scope, of the class that a part gives as its ``type``, itself or by name; '' without one."""
    kind = part.get('type', '') if isinstance(part, dict) else ''
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).rpartition('.')[2]


def check_types(cfg: Config | dict, name: str) -> None:
    """Refuse a config with a part whose ``type`` names no class: it is empty, a number or a list.

    None is left to a module whose argument is a dict such as `upsample_cfg`, for which it may mean to do without.

    Args:
        cfg: the config, or parts of it.
        name: its name in the message.

    Raises:
        InputError: names the part.
    """
    for key, part in dicts(cfg):
        kind = part.get('type', dict)
        if kind is None and key.startswith('model.') and key.endswith('_cfg'):
            continue
        if not (kind if isinstance(kind, str) else callable(kind)):
            raise InputError(f'config {name}: {key}.type is {shortened(kind)}, where the name of a class is wanted')
