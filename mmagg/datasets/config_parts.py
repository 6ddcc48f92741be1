"""Parts of a config: all that is inside one, and the class that one names."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config


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
