"""Edits of configs: ``['option', 'key=value']`` on the command line, ``['line', file, text]`` at the end of a file.

The text of a line is itself or a name of `LINES`.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.wordlists import words

HUGE = ('2**31', '2**64', 'inf', '1e400')
PATIENT = ('num_workers', 'epochs', 'iters', 'times', 'interval', 'prefetch_factor', 'threads')
"""Parts of keys that say how much is to be done: a huge value of them is a wish, not a fault."""
LINES = {
    'long line': 'x' * 100_000,
    'long sum': '-' * 100_000 + '1',
    'deep brackets': '(' * 300,
    'long error': 'raise RuntimeError("x\\x1b" * 90_000)',
}
STRANGE = ('modle', 'Type', '', '__class__', 'typ', 'x y', '0', 'extra')


def draw(chance: random.Random, file: str, config: dict[str, Any]) -> list[Any]:
    """An edit of a config with this content."""
    place, old = chance.choice(list(_places(config)))
    if chance.random() < 0.15:
        return ['line', file, chance.choice([*LINES, *words('text_config_lines')])]
    if chance.random() < 0.5:
        key = '.'.join(map(str, place))
        if chance.random() < 0.2:
            key += '.' + chance.choice(STRANGE)
        value = chance.choice(_near(old) if chance.random() < 0.4 else words('text_config_options'))
        return ['option', f'{key}={"1" if _impatient(key, value) else value}']
    target = str(place[0]) + ''.join(f'[{step!r}]' for step in place[1:])
    if chance.random() < 0.1:
        return ['line', file, f'del {target}']
    if chance.random() < 0.1:
        target += f'[{chance.choice(STRANGE)!r}]'
    value = chance.choice(_near(old) if chance.random() < 0.4 else words('config_values'))
    return ['line', file, f'{target} = {"1" if _impatient(target, value) else value}']


def apply(folder: Path, edit: list[Any]) -> None:
    """Add a line to a config."""
    _, file, text = edit
    with (folder / file).open('ab') as config:
        config.write(f'\n{LINES.get(text, text)}\n'.encode('utf-8', 'surrogatepass'))


def _impatient(key: str, value: str) -> bool:
    return any(part in key for part in PATIENT) and (
        (value.isdigit() and int(value) > 9) or any(h in value for h in HUGE)
    )


def _near(old: Any) -> list[str]:
    """Values that are almost the same."""
    if isinstance(old, bool | int | float):
        return [repr(new) for new in (old + 1, old - 1, old * 2, -old, float(old), str(old), [old], not old)]
    if isinstance(old, list | tuple):
        return [repr(new) for new in (old[:-1], old * 2, [*old[1:], *old[:1]], [old], None)]
    if isinstance(old, str):
        return [repr(new) for new in (old[:-1], old + 'x', old.upper(), [old])]
    return ['{}', 'None', '[]']


def _places(value: Any, place: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    if place:
        yield place, value
    for step, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(part, (*place, step))
