"""Files of Detectron2, as AdelaiDet releases them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmagg.io.errors import InputError
from mmagg.io.safe_pickle import load_pickle


def read_release(path: Path, *, trust: bool = False) -> dict[str, Tensor]:
    """The weights in a checkpoint of Detectron2, under the file's names.

    Args:
        path: a .pth of PyTorch, or a .pkl with NumPy arrays.
        trust: run the code that a .pkl asks for; for a .pth, `secure_loading` decides.

    Raises:
        InputError: the file is missing, damaged, unsafe or no checkpoint.
    """
    if path.suffix == '.pkl':
        content = load_pickle(path, trust=trust)
    else:
        content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
    state = content.get('model', content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise InputError(f'checkpoint {path}: no weights in it')
    return {str(key).removeprefix('module.'): _tensor(x, f'checkpoint {path}: {key}') for key, x in state.items()}


def _tensor(value: Any, where: str) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind in 'fiub':
        return torch.tensor(value)
    if not isinstance(value, Tensor):
        raise InputError(f'{where} is no array of numbers, but {type(value).__name__}')
    return value
