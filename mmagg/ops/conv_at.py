"""A convolution at a few places of a map.

Shape shorthand: N places, C inputs, O outputs, (H, W) map size, k kernel side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def conv_at(x: Tensor, cells: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution with zero padding k // 2, computed only where it is asked for.

    Args:
        x: (C, H, W).
        cells: (N,) long, row-major places in [0, H * W), on any device.
        weight: (O, C, k, k), k odd.
        bias: (O,).

    Returns:
        (N, O), the values of `F.conv2d(x, weight, bias, padding=k // 2)` at these places.
    """
    k = weight.shape[-1]
    width = x.shape[2]
    cells = cells.to(x.device)
    near = torch.arange(k, device=x.device)
    # In the padded map a place's window begins at its own row and column.
    rows = (cells // width)[:, None, None] + near[:, None]
    columns = (cells % width)[:, None, None] + near
    windows = F.pad(x, [k // 2] * 4)[:, rows, columns]  # (C, N, k, k)
    return F.linear(windows.transpose(0, 1).flatten(1), weight.flatten(1), bias)
