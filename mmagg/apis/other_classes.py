"""Weights for other classes than those that a training is for: what is taken of the layers that tell them apart."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from torch import Tensor

from mmagg.apis.plain_model import model_without_numbers
from mmagg.datasets.coco_folder import unwrapped, with_num_classes
from mmagg.io.errors import InputError
from mmagg.weights.class_rows import ClassRows, by_name, class_rows, parts, same_classes

Rows = Callable[[Tensor], Tensor]  # a model's weight -> a copy of it, with rows of the checkpoint
SHOWN = 4  # names that a line has


@dataclass(frozen=True)
class OtherClasses:
    """What of a checkpoint belongs to classes that are not the model's.

    Attributes:
        keys: the weights with a row for each class that are not taken as they are.
        rows: what is taken of them.
        line: says what was left, and why; '' where the classes are the same.
    """

    keys: frozenset[str] = frozenset()
    rows: Mapping[str, Rows] = field(default_factory=dict)
    line: str = ''


def other_classes(
    cfg: Config, own: Mapping[str, Tensor], state: Mapping[str, Tensor], theirs: Sequence[str] | None
) -> OtherClasses:
    """Compare the classes of a checkpoint with those of the training data.

    Args:
        cfg: the whole config.
        own: the weights of its model, of which only names and shapes count.
        state: those of the checkpoint.
        theirs: the names of its classes; None if they are not known.
    """
    ours = _classes(cfg)
    if ours is None or (theirs is not None and tuple(theirs) == ours):
        return OtherClasses()
    found = {key: rows for key, rows in _rows(cfg, own, len(ours)).items() if key in state}
    if theirs is None:
        found = {key: rows for key, rows in found.items() if state[key].shape != own[key].shape}
    found = {key: rows for key, rows in found.items() if _same_but_for_classes(rows, own[key], state[key], theirs)}
    if not found:
        return OtherClasses()
    heads = ', '.join(parts(found))
    if theirs is None:
        number = next(rows.number(len(state[key])) for key, rows in found.items())
        line = f'{heads} left: for {number} classes there and {len(ours)} here, and the checkpoint does not name them'
        return OtherClasses(frozenset(found), line=line)
    pairs = same_classes(ours, theirs)
    rows = {key: partial(_taken, rows, state[key], pairs) for key, rows in found.items() if rows.named}
    new = [name for label, name in enumerate(ours) if label not in pairs]
    if not pairs:
        line = f'{heads} left: of the classes here ({_named(ours)}) none is among its {len(theirs)}'
    elif new:
        known = _named([ours[label] for label in pairs])
        line = f'{heads}: the rows of {known} taken by name, those of {_named(new)} left, which it does not know'
    else:
        line = f'{heads}: the rows of all {len(ours)} classes taken by name, out of its {len(theirs)}'
    return OtherClasses(frozenset(found), rows, line)


def _taken(rows: ClassRows, theirs: Tensor, pairs: Mapping[int, int], ours: Tensor) -> Tensor:
    return by_name(rows, ours, theirs, pairs)


def _classes(cfg: Config) -> tuple[str, ...] | None:
    """The names of the classes of the training data, as its config has them; None where that cannot be told."""
    dataset = unwrapped(dict((cfg.get('train_dataloader') or {}).get('dataset') or {}))
    metainfo = dataset.get('metainfo') or {}
    kind = DATASETS.get(dataset['type']) if isinstance(dataset.get('type'), str) else dataset.get('type')
    names = metainfo.get('classes') or getattr(kind, 'METAINFO', {}).get('classes')
    return tuple(names) if isinstance(names, list | tuple) else None


def _rows(cfg: Config, own: Mapping[str, Tensor], classes: int) -> dict[str, ClassRows]:
    """The weights with a row for each class; none where a model with one class more cannot be built."""
    more = Config({'model': deepcopy(cfg.model.to_dict())})
    for _, part in with_num_classes(more.model):
        if part['num_classes'] != classes:  # names that are not this head's
            return {}
        part['num_classes'] += 1
    try:
        larger = model_without_numbers(more).state_dict()
    except InputError:
        return {}
    return class_rows(_shapes(own), _shapes(larger), classes)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}


def _same_but_for_classes(rows: ClassRows, own: Tensor, other: Tensor, theirs: Sequence[str] | None) -> bool:
    number = rows.number(len(other)) if other.ndim else None
    wanted = number is not None if theirs is None else number == len(theirs)
    return wanted and own.ndim == other.ndim and own.shape[1:] == other.shape[1:]


def _named(names: Sequence[str]) -> str:
    more = f', … ({len(names)})' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more
