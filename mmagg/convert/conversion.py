"""Steps of every conversion: the config's model is built, the weights are loaded into it, the checkpoint is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from mmdet.models import BaseDetector
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.apis.checkpoint import load_weights, secure_loading
from mmagg.apis.config import base_files, load_config
from mmagg.convert.disagreements import as_arguments
from mmagg.io.errors import InputError, building
from mmagg.io.files import check_file, written_whole
from mmagg.io.paths import keep_apart
from mmagg.weights.origins import converter_hint

KEPT_META = ('dataset_meta', 'CLASSES', 'epoch', 'iter')


@dataclass(frozen=True)
class Converted:
    """A checkpoint that was written.

    Attributes:
        tensors: number of tensors in the source.
        notes: hints for using it, a line each.
    """

    tensors: int
    notes: list[str]


def model_for(
    config: str | Path, cfg_options: dict | None, head: type[nn.Module], *, source: Path, target: Path, trust: bool
) -> BaseDetector:
    """The model that a checkpoint is converted for; checkpoints are read as ``trust`` says from now on.

    Raises:
        InputError: ``source`` is missing, ``target`` is an input, or the config cannot be used, or its mask head
            is not a ``head``.
    """
    secure_loading(trust=trust)
    keep_apart({'DST': target}, [source, config, *base_files(config)])
    check_file(target, 'DST')
    if not source.is_file():
        raise InputError(f'checkpoint {source}: no such file')
    cfg = load_config(config, cfg_options, reads={'model'}).model
    with building():
        model = MODELS.build(cfg)
    if not isinstance(getattr(model, 'mask_head', None), head):
        raise InputError(f'config {config}: its mask head is not the {head.__name__} that these weights are for')
    return model


def require_head(state: Mapping[str, Tensor], prefix: str, source: Path) -> None:
    """Refuse a checkpoint of which no key, under our names, starts with ``prefix``.

    Raises:
        InputError: the renaming has not recognised it.
    """
    if not any(key.startswith(prefix) for key in state):
        first = next(iter(state), 'it has no weights')
        raise InputError(
            f'checkpoint {source}: no head under the names that this converter knows ({first}, …); '
            + (converter_hint(state, source) or 'see --help for what it reads')
        )


def write_converted(
    model: nn.Module,
    checkpoint: dict,
    *,
    source: Path,
    target: Path,
    unseen: Mapping[str, Any],
    below: str,
    cfg_options: dict | None,
) -> Converted:
    """Write a converted checkpoint, or nothing.

    Args:
        model: of the config.
        checkpoint: with `state_dict`, under our names, and `meta`.
        source: where it was read.
        target: the file to write.
        unseen: settings that no weight can vouch for, by key.
        below: the part of the config that these keys are below.
        cfg_options: with which the config was loaded.

    Raises:
        InputError: weights do not fit.
    """
    load_weights(model, checkpoint, source)
    meta = {key: checkpoint['meta'][key] for key in KEPT_META if key in checkpoint['meta']}
    content = BytesIO()  # to a file, PyTorch would write that file's name as well, and say little of a full disk
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, content)
    with written_whole(target) as temporary:
        temporary.write_bytes(content.getbuffer())
    notes = []
    if unseen:
        notes.append(f'no weight shows these, they are as the config says (below {below}): {as_arguments(unseen)}')
    if cfg_options:
        notes.append(f'test.py and demo.py need the same --cfg-options {as_arguments(cfg_options)}')
    return Converted(len(checkpoint['state_dict']), notes)
