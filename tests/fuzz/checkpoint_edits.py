"""Edits of checkpoints: ``['tensor', file, path, what]`` for a value in it, ``['planted', file]`` for code in it."""

import os
import pickle
import random
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

CODE = "import sys; sys.audit('fuzz.planted')"
LARGEST = 2**40
WEIGHTS = ('state_dict', 'model')  # of mmengine and of Detectron2


@cache
def _tensors() -> dict[str, Callable[[Any], Any]]:
    import numpy as np
    import torch

    def as_tensor(value: Any) -> torch.Tensor:
        return value if isinstance(value, torch.Tensor) else torch.zeros(2, 3)

    def floats(value: Any) -> torch.Tensor:
        return as_tensor(value).float()

    return {
        'NaN': lambda v: floats(v) * float('nan'),
        'infinite': lambda v: floats(v) / 0,
        'one value NaN': lambda v: torch.cat([floats(v).flatten()[1:], torch.tensor([float('nan')])]).reshape(
            floats(v).shape or (1,)
        ),
        'huge': lambda v: floats(v) * 1e38,
        'empty': lambda v: floats(v)[:0] if as_tensor(v).ndim else torch.zeros(0),
        'one dimension more': lambda v: as_tensor(v)[None],
        'flat': lambda v: as_tensor(v).flatten(),
        'scalar': lambda v: torch.tensor(1.0),
        'doubled': lambda v: torch.cat([floats(v)] * 2) if as_tensor(v).ndim else floats(v).repeat(2),
        'float64': lambda v: as_tensor(v).double(),
        'float16': lambda v: as_tensor(v).half(),
        'bfloat16': lambda v: as_tensor(v).bfloat16(),
        'int64': lambda v: as_tensor(v).long(),
        'uint8': lambda v: as_tensor(v).byte(),
        'bool': lambda v: as_tensor(v).bool(),
        'complex': lambda v: as_tensor(v).to(torch.complex64),
        'sparse': lambda v: floats(v).to_sparse() if as_tensor(v).ndim else floats(v),
        'on meta': lambda v: as_tensor(v).to('meta'),
        'quantised': lambda v: torch.quantize_per_tensor(floats(v), 0.1, 0, torch.qint8),
        'float8': lambda v: floats(v).to(torch.float8_e4m3fn),
        'nested': lambda v: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        'parameter': lambda v: torch.nn.Parameter(floats(v)),
        'endless': lambda v: torch.zeros(1).expand(LARGEST),
        'strided': lambda v: torch.zeros(1).expand(as_tensor(v).shape or (1,)),
        'array': lambda v: np.asarray(as_tensor(v)),
    }


@cache
def _others() -> dict[str, Callable[[Any], Any]]:
    def deep(value: Any) -> Any:
        for _ in range(300):
            value = [value]
        return value

    return {
        'None': lambda v: None,
        'text': lambda v: 'text',
        'code': lambda v: CODE,
        'code as a file': lambda v: f'model = dict()\n{CODE}',
        'number': lambda v: -1,
        'large number': lambda v: 2**64,
        'not a number': lambda v: float('nan'),
        'list': lambda v: [v],
        'empty list': lambda v: [],
        'empty dict': lambda v: {},
        'tuple': lambda v: (1, 'a'),
        'bytes': lambda v: b'\xff\0',
        'set': lambda v: {1, 2},
        'deep': deep,
        'control characters': lambda v: '\x1b[31m\n\0',
        'long text': lambda v: 'x' * 100_000,
        'class': lambda v: dict,
        'numbered': lambda v: {1: v, None: v, ('a',): v},
    }


NEW = (
    ['meta', 'config'],
    ['meta', 'cfg'],
    ['meta', 'CLASSES'],
    ['meta', 'dataset_meta', 'classes'],
    ['meta', 'extra'],
    ['model'],
)


def draw(chance: random.Random, file: str, content: dict[str, Any]) -> list[Any]:
    """An edit of a checkpoint with this content, as zip or older file."""
    if chance.random() < 0.03:
        return ['planted', file]
    if chance.random() < 0.2:
        return ['tensor', file, chance.choice(NEW), chance.choice([*_others(), 'delete'])]
    tops, weights = [[key] for key in content], next(key for key in WEIGHTS if key in content)
    inside = list(_places(content, depth=4))
    place = chance.choice(
        [chance.choice(tops), chance.choice(inside), [weights, chance.choice(list(content[weights]))]]
    )
    tensor = place[0] == weights and len(place) > 1
    plain = chance.random() < (0.25 if tensor else 0.8)
    return ['tensor', file, place, chance.choice([*_others(), 'delete'] if plain else [*_tensors()])]


def read(path: Path) -> Any:
    """What `torch.load` makes of a sound checkpoint, all of it; commands that ran before have forbidden that."""
    import torch

    forced = os.environ.pop('TORCH_FORCE_WEIGHTS_ONLY_LOAD', None)
    try:
        return torch.load(path, weights_only=False)
    finally:
        if forced is not None:
            os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = forced


def apply(folder: Path, edit: list[Any]) -> None:
    """Change a checkpoint as an edit says."""
    import torch

    path = folder / edit[1]
    if edit[0] == 'planted':
        _plant(path)
        return
    _, _, place, what = edit
    try:
        content = read(path)
    except Exception:
        return  # an edit before has made that impossible
    older = not zipfile.is_zipfile(path)
    target = content
    try:
        for step in place[:-1]:
            target = target[step]
        if what == 'delete':
            del target[place[-1]]
        else:
            value = target.get(place[-1]) if isinstance(target, dict) else target[place[-1]]
            target[place[-1]] = {**_tensors(), **_others()}[what](value)
    except (LookupError, TypeError, AttributeError):
        return  # an edit before has changed what was there
    torch.save(content, path, _use_new_zipfile_serialization=not older)


class _Planted:
    def __reduce__(self) -> tuple:
        return sys.audit, ('fuzz.planted',)


def _plant(path: Path) -> None:
    """Put code where the pickle is: reading it as a pickle runs it."""
    if not zipfile.is_zipfile(path):
        path.write_bytes(pickle.dumps({'state_dict': _Planted(), 'model': _Planted()}))
        return
    with zipfile.ZipFile(path) as archive:
        content = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in content.items():
            archive.writestr(name, pickle.dumps({'state_dict': _Planted()}, 2) if name.endswith('data.pkl') else data)


def _places(value: Any, place: tuple = (), *, depth: int) -> Iterator[list]:
    if place:
        yield list(place)
    if depth and place[:1] not in [(key,) for key in WEIGHTS]:
        steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, part in steps:
            if isinstance(step, str | int):
                yield from _places(part, (*place, step), depth=depth - 1)
