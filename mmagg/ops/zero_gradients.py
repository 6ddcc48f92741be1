"""A gradient of zero for parameters that a loss may not depend on."""

from typing import Any

import torch
from torch import Tensor


class ZeroGradients(torch.autograd.Function):
    """`total + 0 * sum(p.sum() for p in parameters)`, without reading the parameters.

    DistributedDataParallel waits for the gradient of every parameter, and an optimiser leaves those out that have none.
    """

    @staticmethod
    def forward(ctx: Any, total: Tensor, *parameters: Tensor) -> Tensor:
        """(...) and parameters of any shape -> (...)."""
        ctx.like = [(p.shape, p.dtype) for p in parameters]
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """The gradient itself, then one number for all parameters of a dtype."""
        zeros = {dtype: grad.new_zeros((), dtype=dtype) for dtype in {dtype for _, dtype in ctx.like}}
        return grad, *(zeros[dtype].expand(shape) for shape, dtype in ctx.like)
