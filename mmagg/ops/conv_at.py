"""A convolution evaluated at a few pixels of a batch of maps.

Shape shorthand: B images, N pixels asked for, C inputs, O outputs, (H, W) map size, k kernel side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.upload import upload


def conv_at(x: Tensor, places: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution with zero padding k // 2, at the pixels asked for only.

    Args:
        x: (B, C, H, W).
        places: (N,) long, in [0, B * H * W): image, row and column, the column fastest; on any device.
        weight: (O, C, k, k), k odd; copied unless it is channels_last.
        bias: (O,), or None.

    Returns:
        (N, O), the values of `F.conv2d(x, weight, bias, padding=k // 2)` at these pixels.
    """
    k = weight.shape[-1]
    height, width = x.shape[2:]
    near = torch.arange(k, device=places.device) - k // 2
    rows = (places // width % height)[:, None, None] + near[:, None]  # (N, k, 1)
    columns = (places % width)[:, None, None] + near  # (N, 1, k)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (N, k, k)
    # Clamped, and then set to zero: a padded copy of the maps would take more memory than the windows.
    images = (places // (height * width))[:, None, None]
    index = images, rows.clamp(0, height - 1), columns.clamp(0, width - 1), inside
    *where, inside = upload(torch.stack(torch.broadcast_tensors(*index)), x.device)  # one copy for all
    windows = x.permute(0, 2, 3, 1)[tuple(where)] * inside[..., None]  # (N, k, k, C)
    return F.linear(windows.flatten(1), weight.permute(0, 2, 3, 1).flatten(1), bias)
