"""The model of a config, on its own and without numbers: what its weights are called, and of which shapes they are."""

from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmagg.io.errors import building


def model_without_numbers(cfg: Config) -> nn.Module:
    """The model of a config, of which only names and shapes are there, where it can be built so."""
    model = _on_its_own(cfg.model)
    with building():
        try:
            with torch.device('meta'):
                return MODELS.build(model)
        except RuntimeError:  # some look at numbers, as Swin does at its rates of dropped paths
            return MODELS.build(model)


def _on_its_own(part: Any) -> Any:
    """A part of a config without mmcv's `MMSyncBN`, which is built in a process group alone; the names are the same."""
    if isinstance(part, dict):
        return type(part)({key: _on_its_own(value) for key, value in part.items()})
    if isinstance(part, list | tuple):
        return type(part)(_on_its_own(value) for value in part)
    return 'SyncBN' if part == 'MMSyncBN' else part
