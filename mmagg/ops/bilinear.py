"""Bilinear interpolation as matrices: one of the rows, one of the columns."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.fused import in_few_launches


class Taps(NamedTuple):
    """A sparse linear map from an axis of length L to one of length M: K neighbouring inputs for each output."""

    length: int
    """L."""
    start: Tensor
    """(M,) long, ascending, on the CPU: index of the first neighbour."""
    weight: Tensor
    """(M, K) float32."""
    neighbours: Tensor
    """(M, K) long, where the weights are: the neighbours' indices."""


def interpolation_matrix(before: int, after: int, *, align_corners: bool, like: Tensor) -> Tensor:
    """The matrix by which `F.interpolate(mode='bilinear')` resizes one axis.

    Args:
        before: length of the axis.
        after: length after resizing.
        align_corners: as in `F.interpolate`.
        like: a tensor with the dtype and device to use.

    Returns:
        (after, before).
    """
    eye = torch.eye(before, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(eye, size=(after, before), mode='bilinear', align_corners=align_corners)[0, 0]


@lru_cache(maxsize=256)  # data sets have few image sizes
@torch.no_grad()
def taps_of_two_resizes(before: int, between: int, crop: int, after: int, device: torch.device) -> Taps:
    """The linear map of two bilinear resizes (align_corners=False) of one axis, with a crop between them.

    Args:
        before: length of the axis.
        between: length after the first resize.
        crop: length after the crop, from the start.
        after: length after the second resize.
        device: of `weight`, computed with that device's rounding, and of `neighbours`.
    """
    x = interpolation_matrix(
        before, between, align_corners=False, like=torch.empty(0, dtype=torch.float32, device=device)
    )
    return taps_of(
        F.interpolate(x[None, None, :crop], size=(after, before), mode='bilinear', align_corners=False)[0, 0]
    )


def taps_of(matrix: Tensor) -> Taps:
    """The taps of a linear map of an axis, (M, L) float32.

    Weights are not negative, and those of a row begin where those of the row before do, or later.
    """
    length = matrix.shape[1]
    inside = (matrix > 0).cpu().byte()
    first, last = inside.argmax(1), length - 1 - inside.flip(1).argmax(1)
    num = int((last - first).max()) + 1
    start = first.clamp(max=length - num)
    neighbours = (start[:, None] + torch.arange(num)).to(matrix.device)
    return Taps(length, start, matrix.gather(1, neighbours), neighbours)


def upsampling_adjoint(x: Tensor, size: Sequence[int]) -> Tensor:
    """The adjoint of bilinear upsampling (align_corners=False): <up(y), x> = <y, adjoint(x)> for all y.

    Args:
        x: (..., H, W).
        size: (h, w) before the upsampling to (H, W).

    Returns:
        (..., h, w).
    """
    rows, columns = (
        _upsampling(before, after, type(x), x.dtype, x.device)
        if in_few_launches(x)
        else interpolation_matrix(before, after, align_corners=False, like=x)
        for before, after in zip(size, x.shape[-2:], strict=True)
    )
    return rows.t() @ x @ columns


@lru_cache(maxsize=64)
def _upsampling(before: int, after: int, kind: type[Tensor], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix of an axis, kept: tensors without values, of another `kind`, are not to stand in for real ones."""
    return interpolation_matrix(before, after, align_corners=False, like=torch.empty(0, dtype=dtype, device=device))
