"""A convolution evaluated at a few pixels of a batch of maps, or of a pyramid of them.

Shape shorthand: B images, N pixels asked for, C inputs, O outputs, (H, W) map size, k kernel side.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.upload import upload


def conv_at(x: Tensor, places: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A convolution with zero padding k // 2, at the pixels asked for only.

    Args:
        x: (B, C, H, W).
        places: (N,) long, in [0, B * H * W): image, row and column, the column fastest; on any device.
        weight: (O, C, k, k), k odd.
        bias: (O,), or None.

    Returns:
        (N, O), the values of `F.conv2d(x, weight, bias, padding=k // 2)` at these pixels.
    """
    return conv_on_levels([x], places, weight, bias)


def conv_on_levels(levels: Sequence[Tensor], places: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`conv_at` on several maps at once.

    Args:
        levels: per level (B, C, H, W).
        places: (N,) long, counted over levels, then images, rows and columns; ascending if there are several levels,
            and then on the CPU.
        weight: (O, C, k, k), k odd.
        bias: (O,), or None.

    Returns:
        (N, O); all levels are in the graph, also for N = 0.
    """
    counts, starts = [len(places)], torch.zeros(1, dtype=torch.long)
    if len(levels) > 1:
        starts = torch.tensor([0] + [x[:, 0].numel() for x in levels]).cumsum(0)
        counts = torch.searchsorted(places, starts).diff().tolist()
    near = torch.arange(weight.shape[-1], device=places.device) - weight.shape[-1] // 2
    index = []
    for x, start, part in zip(levels, starts.tolist(), places.split(counts), strict=False):
        height, width = x.shape[2:]
        pixel = (part - start)[:, None, None]
        rows = pixel // width % height + near[:, None]  # (N, k, 1)
        columns = pixel % width + near  # (N, 1, k)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (N, k, k)
        # Clamped, and then set to zero: a padded copy of the maps would take more memory than the windows.
        clamped = pixel // (height * width), rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        index.append(torch.stack([i.expand(inside.shape) for i in (*clamped, inside)]))
    there = upload(torch.cat(index, 1) if len(index) > 1 else index[0], levels[0].device)  # (4, N, k, k)
    found = [
        x.permute(0, 2, 3, 1)[tuple(part[:3])] for x, part in zip(levels, there.split(counts, 1), strict=True)
    ]  # (N, k, k, C) each
    windows = (torch.cat(found) if len(found) > 1 else found[0]) * there[3, ..., None]
    return F.linear(windows.flatten(1), weight.permute(0, 2, 3, 1).flatten(1), bias)
