"""The model of a config, on its own and without numbers: what its weights are called, and of which shapes they are."""

from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmagg.io.errors import InputError, building


def model_without_numbers(cfg: Config) -> nn.Module:
    """The model of a config, of which only names and shapes are there, where it can be built so."""
    model = _on_its_own(cfg.model)
    with building():
        try:
            with torch.device('meta'):
                return MODELS.build(model)
        except RuntimeError:  # some look at numbers, as Swin does at its rates of dropped paths
            return MODELS.build(model)


def check_neck(cfg: Config, name: str) -> None:
    """Refuse a neck that does not run on the levels of its backbone, as it is for other numbers of channels.

    A backbone that does not run without numbers is left alone.

    Args:
        cfg: with a `model`.
        name: of the config, for the message.

    Raises:
        InputError: names the key, and what to write there.
    """
    backbone, neck = (cfg.model.get(part) for part in ('backbone', 'neck'))
    wanted = neck.get('in_channels') if isinstance(neck, dict) else None
    if not isinstance(backbone, dict) or not isinstance(wanted, list | tuple):
        return
    try:
        built = model_without_numbers(Config({'model': backbone}))
        built.eval()  # ResNet's returns nothing
        levels = built(torch.zeros(1, 3, 64, 64, device=next(built.parameters()).device))
        found = [level.shape[1] for level in levels]
    except Exception:  # of any backbone
        return
    try:
        model_without_numbers(Config({'model': neck}))(levels)
    except Exception as error:
        if list(wanted) != found:
            at = f'config {name}: model.neck.in_channels={list(wanted)}'
            raise InputError(f'{at}, but the levels of the backbone have {found} channels: write that') from error


def _on_its_own(part: Any) -> Any:
    """A part of a config without mmcv's `MMSyncBN`, which is built in a process group alone; the names are the same."""
    if isinstance(part, dict):
        return type(part)({key: _on_its_own(value) for key, value in part.items()})
    if isinstance(part, list | tuple):
        return type(part)(_on_its_own(value) for value in part)
    return 'SyncBN' if part == 'MMSyncBN' else part
