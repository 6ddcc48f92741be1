"""CoordConv's coordinates, and the NMS of the points of SOLO's grid.

Shape shorthand: B images, C channels or classes, S grid side, (H, W) map size.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def append_coordinates(x: Tensor, axes: str = 'xy') -> Tensor:
    """Concatenate normalised pixel coordinates to a feature map (CoordConv, as in SOLO, Sec. 2.1).

    Args:
        x: (B, C, H, W).
        axes: which coordinates, in this order: 'xy', 'x' or 'y'. Each runs from -1 (first pixel) to 1 (last).

    Returns:
        (B, C + len(axes), H, W), of the dtype of `x`.
    """
    b, _, h, w = x.shape
    along = minus_one_to_one if torch.compiler.is_compiling() else _remembered
    lines = {'x': lambda: along(w, x.device, x.dtype), 'y': lambda: along(h, x.device, x.dtype)[:, None]}
    return torch.cat([x, *(lines[axis]().expand(b, 1, h, w) for axis in axes)], dim=1)


def minus_one_to_one(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length,) evenly spaced from -1 to 1, computed in float32."""
    if torch.compiler.is_exporting():  # there, linspace's length would be a constant
        line = torch.arange(length, device=device) * 2 / torch.sym_max(length - 1, 1) - 1
    else:
        line = torch.linspace(-1, 1, length, device=device)
    return line.to(dtype)


@lru_cache(maxsize=256)  # few hundred numbers each: levels of a pyramid have few sizes
@torch.inference_mode(False)
def _remembered(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return minus_one_to_one(length, device, dtype)


def points_nms(scores: Tensor) -> Tensor:
    """Keep a cell's score if it is the maximum of the 2x2 cells up to it (above and to the left), else zero.

    Args:
        scores: (B, C, S, S) probabilities.

    Returns:
        (B, C, S, S).
    """
    local_max = F.max_pool2d(scores, kernel_size=2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (local_max == scores)
