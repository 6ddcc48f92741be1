"""Content-aware reassembly by mmcv's CARAFE, a CUDA kernel for upsampling.

Downsampling is a sum of upsamplings by 1, one of each phase of x (pixels that lie `stride` apart) with the taps that
fall on it as masks. A tap at distance d = dy - k//2 falls on phase d mod stride, at distance floor(d / stride): with
k = 5 and stride 2, 25 weights go to four 3 x 3 masks, of which 11 weights stay zero.

Shape shorthand: B images, C channels, k kernel side, g groups, s stride, (H, W) size of x, (h, w) size of the result.
"""

from collections.abc import Callable
from functools import cache
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor

Carafe = Callable[[Tensor, Tensor, int, int, int], Tensor]
MOST_MASKS = 384  # weights per pixel in the shared memory of mmcv's kernel


def objection(device: torch.device, masks: int) -> str | None:
    """The reason why mmcv cannot run on a device, and what to do; None if it can."""
    if device.type != 'cuda':
        return f'mmcv computes CARAFE on CUDA only, not on {device.type}; take backend torch'
    if masks > MOST_MASKS:
        return f'mmcv takes at most {MOST_MASKS} weights per pixel, here are {masks}; take backend torch'
    return _problem()


@cache
def _problem() -> str | None:
    try:
        from mmcv.ops import get_compiling_cuda_version
    except Exception as error:  # an extension built for another PyTorch may raise anything
        return f'mmcv.ops does not import ({" ".join(f"{type(error).__name__}: {error}".split())}); run mmagg doctor'
    if get_compiling_cuda_version() == 'not available':
        return 'mmcv is compiled without CUDA; compile it again with FORCE_CUDA=1'
    return None


def number_of_masks(channels: int, stride: int, scale: int, groups: int) -> int:
    """Weights per pixel that mmcv needs for kernels of `channels` channels."""
    k = isqrt(channels // (groups * scale**2))
    return groups * (stride * (2 * _radius(k, stride) + 1)) ** 2


def reassemble(x: Tensor, kernels: Tensor, *, stride: int, scale: int, groups: int) -> Tensor:
    """Both ops of `reassembly` in float32; one of stride and scale is 1."""
    from mmcv.ops import carafe

    if stride == 1:
        return up(x, kernels, scale, groups, carafe)
    return down(x, kernels, stride, groups, carafe)


def up(x: Tensor, kernels: Tensor, scale: int, groups: int, carafe: Carafe) -> Tensor:
    """(B, C, H, W), (B, g * k*k * scale*scale, H, W) -> (B, C, scale*H, scale*W)."""
    masks = F.pixel_shuffle(kernels.float(), scale)
    k = isqrt(masks.shape[1] // groups)
    return carafe(x.float().contiguous(), masks.contiguous(), k, groups, scale).to(x.dtype)


def down(x: Tensor, kernels: Tensor, stride: int, groups: int, carafe: Carafe) -> Tensor:
    """(B, C, H, W), (B, g * k*k, h, w) -> (B, C, h, w)."""
    h, w = kernels.shape[2:]
    k = isqrt(kernels.shape[1] // groups)
    padding = 0, stride * w - x.shape[3], 0, stride * h - x.shape[2]
    phases = F.pixel_unshuffle(F.pad(x.float(), padding), stride)  # (B, C * s*s, h, w), phases of a channel together
    phases = phases.unflatten(1, (-1, stride**2)).transpose(1, 2).flatten(1, 2)  # (B, s*s * C, h, w)
    side = 2 * _radius(k, stride) + 1
    places = _places(k, stride, groups).to(x.device)
    masks = kernels.new_zeros(len(x), stride**2 * groups * side**2, h, w, dtype=torch.float32)
    masks = masks.index_copy(1, places, kernels.float())
    out = carafe(phases, masks, side, stride**2 * groups, 1)
    return out.unflatten(1, (stride**2, -1)).sum(1).to(x.dtype)


def _radius(k: int, stride: int) -> int:
    """The reach of the taps within a phase."""
    return -(-(k // 2) // stride)


def _places(k: int, stride: int, groups: int) -> Tensor:
    """(g * k*k,) long indices of a kernel's weights in masks of shape (s*s, g, side, side)."""
    radius = _radius(k, stride)
    distance = torch.arange(k) - k // 2
    phase, place = distance % stride, distance.div(stride, rounding_mode='floor') + radius
    side = 2 * radius + 1
    phases = phase[:, None] * stride + phase  # (k, k)
    places = place[:, None] * side + place
    group = torch.arange(groups)[:, None, None]
    return ((phases * groups + group) * side**2 + places).flatten()
