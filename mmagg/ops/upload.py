"""Copies from the host to a device that nobody waits for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def upload(values: Tensor | Sequence | Any, device: torch.device, *, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers on a device, without a wait of the host for what is queued there.

    Args:
        values: a tensor, an array or numbers, not in pinned memory: CUDA copies it aside before it returns, so that it
            may change at once.
        device: where to; values that are there already are returned as they are.
        dtype: of the result; by default that of the values.
    """
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)
