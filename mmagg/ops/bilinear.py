"""Bilinear interpolation as matrices: one of the rows, one of the columns."""

import torch
import torch.nn.functional as F
from torch import Tensor


def interpolation_matrix(before: int, after: int, *, align_corners: bool, like: Tensor) -> Tensor:
    """What `F.interpolate(mode='bilinear')` does to one axis, as a matrix.

    Args:
        before: length of the axis.
        after: length that it gets.
        align_corners: as in `F.interpolate`.
        like: a tensor with the dtype and device to use.

    Returns:
        (after, before).
    """
    eye = torch.eye(before, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(eye, size=(after, before), mode='bilinear', align_corners=align_corners)[0, 0]


def upsampling_adjoint(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The adjoint of bilinear upsampling (align_corners=False): <up(y), x> = <y, adjoint(x)> for all y.

    Args:
        x: (..., H, W).
        size: (h, w) of what is upsampled to (H, W).

    Returns:
        (..., h, w).
    """
    rows, columns = (
        interpolation_matrix(before, after, align_corners=False, like=x)
        for before, after in zip(size, x.shape[-2:], strict=True)
    )
    return rows.t() @ x @ columns
