"""The course of every conversion: a config's model, the weights in it, a checkpoint of ours, or what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmagg.apis.checkpoint import load_weights, secure_loading
from mmagg.apis.config import load_config
from mmagg.convert.disagreements import as_arguments
from mmagg.io.errors import InputError
from mmagg.io.files import written_whole

KEPT_META = ('dataset_meta', 'CLASSES', 'epoch', 'iter')


@dataclass(frozen=True)
class Converted:
    """A checkpoint that was written.

    Attributes:
        tensors: how many the source has.
        notes: what whoever uses it should know, a line each.
    """

    tensors: int
    notes: list[str]


def prepare(source: Path, target: Path, *, config: str | Path, cfg_options: dict | None, trust: bool) -> Config:
    """Decide how checkpoints are read and load the config.

    Raises:
        InputError: ``source`` and ``target`` are the same file, or the config cannot be used.
    """
    secure_loading(trust=trust)
    if target.resolve() == source.resolve():
        raise InputError(f'{target}: SRC and DST are the same file')
    return load_config(config, cfg_options)


def require_head(state: Mapping[str, Tensor], prefix: str, source: Path) -> None:
    """Make sure that the renaming has recognised a checkpoint.

    Raises:
        InputError: no key under our names starts with ``prefix``.
    """
    if not any(key.startswith(prefix) for key in state):
        first = next(iter(state), 'it has no weights')
        raise InputError(
            f'checkpoint {source}: no head under the names that this converter knows ({first}, …); '
            'see --help for what it reads'
        )


def build_model(cfg: Config, config: str | Path, head: type[nn.Module]) -> nn.Module:
    """The model of a config.

    Raises:
        InputError: its mask head is not a ``head``.
    """
    model = MODELS.build(cfg.model)
    if not isinstance(getattr(model, 'mask_head', None), head):
        raise InputError(f'config {config}: its mask head is not the {head.__name__} that these weights are for')
    return model


def write_converted(
    model: nn.Module,
    checkpoint: dict,
    *,
    source: Path,
    target: Path,
    problems: Sequence[str],
    notes: Sequence[str],
    cfg_options: dict | None,
) -> Converted:
    """Write a converted checkpoint, or nothing.

    Args:
        model: of the config.
        checkpoint: with `state_dict`, under our names, and `meta`.
        source: where it was read.
        target: the file to write.
        problems: what keeps the weights from fitting, a line each.
        notes: what to know if all is well, a line each.
        cfg_options: with which the config was loaded.

    Raises:
        InputError: with the problems, or what weights do not fit.
    """
    if problems:
        raise InputError(*problems)
    load_weights(model, checkpoint, source)
    meta = {key: checkpoint['meta'][key] for key in KEPT_META if key in checkpoint['meta']}
    with written_whole(target) as temporary:
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, temporary)
    same = [f'test.py and demo.py need the same --cfg-options {as_arguments(cfg_options)}'] if cfg_options else []
    return Converted(len(checkpoint['state_dict']), [*notes, *same])


def note_unseen(settings: Mapping[str, Any], *, below: str) -> list[str]:
    """A line with the settings that no weight can vouch for, keys below ``below``; none without settings."""
    if not settings:
        return []
    return [f'no weight shows these, they are as the config says (below {below}): {as_arguments(settings)}']
