"""Edits of JSON files: of values, of their types, of the structure.

An edit is ``['json', file, operation, path, text]``. A path leads to a value; ``*`` in it stands for every entry of a
list. Operations: ``set`` the value to what the text says, in JSON or by a name of `VALUES`; ``add`` a key to a dict,
likewise; ``delete`` it; ``again``: a list has it twice.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.wordlists import words

Place = tuple[str | int, ...]

VALUES = {
    '10^400': '1' + '0' * 400,
    'long text': json.dumps('x' * 100_000),
    'long list': json.dumps([1] * 100_000),
    'deep lists': '[' * 100_000 + ']' * 100_000,
    'deep dicts': '{"a":' * 5000 + '1' + '}' * 5000,
    'control characters': json.dumps('\0\x1b[31m\n\r\x7f\x85\u2028'),
    'half a surrogate': '"\\ud800"',
    'right to left': json.dumps('\u202egnp.a'),
    'long name': json.dumps('n' * 300 + '.png'),
}
LISTS = {'counts': 'json_counts', 'segmentation': 'json_segmentation'}


def draw(chance: random.Random, file: str, document: Any) -> list[Any]:
    """An edit of a file with this content."""
    groups: dict[Place, list[Place]] = {}
    for place in _places(document):
        groups.setdefault(_general(place), []).append(place)
    general = chance.choice(list(groups))
    place = chance.choice(groups[general])
    if '*' in general and chance.random() < 0.15:  # all of them
        place = general
    value = _at(document, chance.choice(groups[general]))
    operation = chance.choices(['set', 'delete', 'again', 'add'], [12, 2, 1, 1])[0]
    if not place:
        operation = 'set'
    if operation == 'add' and not isinstance(value, dict):
        operation = 'set'
    if operation == 'add':
        place = (
            *place,
            chance.choice(['extra', '', '__class__', 'iscrowd', 'segmentation', 'id', 'ignore', 'keypoints']),
        )
    if operation in ('delete', 'again'):
        return ['json', file, operation, list(place), '']
    return ['json', file, operation, list(place), _text(chance, place, value, document)]


def apply(folder: Path, edits: list[list[Any]]) -> None:
    """Change a JSON file as edits of it say, those that still apply."""
    file = folder / edits[0][1]
    document, raw = [json.loads(file.read_text())], {}
    for _, _, operation, path, text in edits:
        mark = f'@@{len(raw)}@@'
        raw[f'"{mark}"'] = VALUES.get(text, text)
        for place in _all(document, (0, *path)):
            _change(document, operation, place, mark)
    written = json.dumps(document[0])
    for mark, text in raw.items():
        written = written.replace(mark, text)
    file.write_text(written)


def _change(document: Any, operation: str, place: Place, mark: str) -> None:
    try:
        parent, last = _at(document, place[:-1]), place[-1]
        if operation == 'delete':
            del parent[last]
        elif operation == 'again':
            parent.insert(last, parent[last]) if isinstance(parent, list) else parent.update({f'{last}2': parent[last]})
        else:
            parent[last] = mark
    except (LookupError, TypeError, AttributeError):
        pass  # an edit before has changed what was there


def _text(chance: random.Random, place: Place, value: Any, document: Any) -> str:
    """A new value in the place of one."""
    key = next((step for step in reversed(place) if isinstance(step, str) and step != '*'), '')
    kinds = [words('json_numbers'), words('json_values'), list(VALUES), _near(chance, value)]
    weights = [3, 3, 1, 3]
    if key in LISTS:
        kinds.append(words(LISTS[key]))
        weights.append(4)
    if isinstance(value, str):
        kinds.append(words('json_paths'))
        weights.append(4)
    if chance.random() < 0.1:  # something from elsewhere
        return json.dumps(_at(document, chance.choice(list(_places(document)))))
    return chance.choice(chance.choices(kinds, weights)[0])


def _near(chance: random.Random, value: Any) -> list[str]:
    """Values that are almost the same."""
    if isinstance(value, bool | int | float):
        changes = [
            value + 1,
            value - 1,
            -value,
            value * 1000,
            value + 0.5,
            float(value),
            str(value),
            [value],
            bool(value),
        ]
    elif isinstance(value, str):
        changes = [value[:-1], value + value, value.upper(), value + '\n', [value], list(value)[:5], len(value)]
    elif isinstance(value, list):
        changes = [value[:-1], value[1:], value * 2, [value], value[::-1], value * 50, dict(enumerate(value[:3]))]
    elif isinstance(value, dict):
        changes = [list(value.items())[:3], list(value.values())[:3], [value], {}]
    else:
        changes = [0]
    return [json.dumps(change) for change in changes]


def _places(value: Any, place: Place = ()) -> Iterator[Place]:
    yield place
    for step, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(part, (*place, step))


def _general(place: Place) -> Place:
    return tuple('*' if isinstance(step, int) else step for step in place)


def _all(document: Any, place: Place) -> list[Place]:
    """The places that one with ``*`` stands for, the last ones first."""
    found: list[Place] = [()]
    for step in place:
        if step != '*':
            found = [(*one, step) for one in found]
            continue
        parts = [(one, _maybe(document, one)) for one in found]
        found = [(*one, i) for one, part in parts if isinstance(part, list) for i in reversed(range(len(part)))]
    return found


def _maybe(document: Any, place: Place) -> Any:
    try:
        return _at(document, place)
    except (LookupError, TypeError):
        return None


def _at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step] if step != '*' else document[0]
    return document
