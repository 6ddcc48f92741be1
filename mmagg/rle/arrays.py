"""Tensors as arrays, without PyTorch where nobody has imported it: then there are none."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def is_tensor(value: Any) -> 'TypeGuard[Tensor]':
    """Whether a value is a tensor of PyTorch."""
    torch = sys.modules.get('torch')
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(values: 'Tensor | np.ndarray') -> np.ndarray:
    """The values of a tensor on any device, or those given."""
    return values.detach().cpu().numpy() if is_tensor(values) else np.asarray(values)
