"""mmcv's compiled operators on a pretended CUDA device: those of the CPU, and what it has for CUDA alone.

Shape shorthand: N predictions, C classes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

FLT_MIN = torch.finfo(torch.float32).tiny


def focal_loss(logits: Tensor, labels: Tensor, weight: Tensor, out: Tensor, gamma: float, alpha: float) -> None:
    """`sigmoid_focal_loss_forward`: in the dtype of the logits, in which the least number is zero if it has 16 bits."""
    own, p, q = _of_kernel(logits, labels)
    of_own = -alpha * (1 - p) ** gamma * p.clamp(min=FLT_MIN).log()
    of_others = -(1 - alpha) * p**gamma * q.clamp(min=FLT_MIN).log()
    out.copy_(torch.where(own, of_own, of_others))


def focal_loss_gradient(
    logits: Tensor, labels: Tensor, weight: Tensor, out: Tensor, gamma: float, alpha: float
) -> None:
    """`sigmoid_focal_loss_backward`."""
    own, p, q = _of_kernel(logits, labels)
    of_own = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * p.clamp(min=FLT_MIN).log())
    of_others = -(1 - alpha) * p**gamma * (gamma * (1 - p) * q.clamp(min=FLT_MIN).log() - p)
    out.copy_(torch.where(own, of_own, of_others))


def _of_kernel(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, C) logits and (N,) labels -> (N, C) bool of the labels, probabilities, and one minus these."""
    if logits.dtype == torch.bfloat16:
        raise RuntimeError('"sigmoid_focal_loss_forward_cuda_kernel" not implemented for \'BFloat16\'')
    own = F.one_hot(labels, logits.shape[1] + 1)[:, :-1].bool()
    p = 1 / (1 + (-logits).exp())
    return own, p, 1 - p


OF_CUDA_ALONE = {'sigmoid_focal_loss_forward': focal_loss, 'sigmoid_focal_loss_backward': focal_loss_gradient}


@contextmanager
def on_values(kernel: Callable[[str, Callable, tuple, dict[str, Any]], Any]) -> Iterator[None]:
    """Within the block ``kernel(name, function, args, kwargs)`` is called for every call of a compiled operator."""
    compiled = import_module('mmcv._ext')
    names = [name for name in dir(compiled) if not name.startswith('_') and callable(getattr(compiled, name))]
    functions = {name: OF_CUDA_ALONE.get(name, getattr(compiled, name)) for name in names}

    def counted(name: str, function: Callable, *args: Any, **kwargs: Any) -> Any:
        return kernel(name, function, args, kwargs)

    replaced: dict[str, Any] = {name: partial(counted, name, f) for name, f in functions.items()}
    with mock.patch.multiple(compiled, **replaced):
        yield
