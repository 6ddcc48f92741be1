"""Content-aware reassembly as a user without an operator for it writes it: all neighbourhoods as one tensor.

Arguments and results are those of `reassemble_up` and `reassemble_down`, for a factor of 2 and one group.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

FACTOR = 2


def unfolded_up(x: Tensor, kernels: Tensor) -> Tensor:
    """CARAFE (A2-FPN, Eq. 8): unfold, a product, a pixel shuffle."""
    k = isqrt(kernels.shape[1] // FACTOR**2)
    columns = F.unfold(x, k, padding=k // 2).view(*x.shape[:2], k**2, *x.shape[2:])
    kernels = kernels.unflatten(1, (k**2, FACTOR**2))
    return F.pixel_shuffle(torch.einsum('bckhw,bkshw->bcshw', columns, kernels).flatten(1, 2), FACTOR)


def unfolded_down(x: Tensor, kernels: Tensor) -> Tensor:
    """Content-aware pooling (A2-FPN, Eq. 12): unfold with a stride, a product."""
    k = isqrt(kernels.shape[1])
    columns = F.unfold(x, k, padding=k // 2, stride=FACTOR).view(*x.shape[:2], k**2, *kernels.shape[2:])
    return torch.einsum('bckhw,bkhw->bchw', columns, kernels)
