"""Content-aware reassembly: each output pixel is a weighted sum of a neighbourhood, with weights of its own.

`reassemble_up` is CARAFE (Wang et al., ICCV 2019), as in GACARAFE (A2-FPN, Eq. 8); `reassemble_down` is the
content-aware pooling of GACAP (A2-FPN, Eq. 12). Both are cases of one map, which is linear in x and in the kernels:

    out[c, scale*y + i, scale*x + j] = sum over taps t = (dy, dx) of
        kernels[t, i, j, y, x] * x[c, stride*y + dy - k//2, stride*x + dx - k//2]

with stride 1 for upsampling and scale 1 for downsampling. Three backends compute it:

    torch   any device and dtype; see `reassembly_torch`
    triton  fused kernels for CUDA; see `reassembly_triton`
    mmcv    mmcv's CARAFE, where it is compiled with CUDA; see `reassembly_mmcv`

On CUDA the first that is available of triton, mmcv and torch runs; in float64 and on other devices, torch does. The
environment variable MMAGG_REASSEMBLY or the argument `backend` force one.

Shape shorthand: B images, C channels, k kernel side, g groups, (H, W) size of x, (h, w) size of the grid of kernels.
"""

from math import isqrt
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmagg.ops import reassembly_mmcv, reassembly_torch
from mmagg.ops.reassembly_choice import choose_backend


def reassemble_up(x: Tensor, kernels: Tensor, *, scale: int = 2, groups: int = 1, backend: str | None = None) -> Tensor:
    """Upsample: CARAFE (A2-FPN, Eq. 8).

    Output pixel (scale*y + i, scale*x + j) sums up the zero-padded k x k neighbourhood of (y, x). Equal to mmcv's
    `carafe` with masks `pixel_shuffle(kernels, scale)`.

    Args:
        x: (B, C, H, W); channel c belongs to group c // (C // groups).
        kernels: (B, groups * k*k * scale*scale, H, W), k odd, normalised as the caller wishes. Channel
            (group * k*k + tap) * scale*scale + i * scale + j, taps row-major in k x k. Its dtype may differ from x's.
        scale: output pixels per input pixel along each side.
        groups: number of groups of channels that share kernels.
        backend: 'triton', 'mmcv' or 'torch'; by default chosen.

    Returns:
        (B, C, scale*H, scale*W), in the dtype and memory format of x. Sums are accumulated in float32, or in float64
        if any input is.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit each other; an unknown backend.
        RuntimeError: a forced backend that cannot run.
    """
    return _reassemble(x, kernels, 1, scale, groups, backend)


def reassemble_down(
    x: Tensor, kernels: Tensor, *, stride: int = 2, groups: int = 1, backend: str | None = None
) -> Tensor:
    """Downsample: content-aware pooling (A2-FPN, Eq. 12).

    Output pixel (y, x) sums up the zero-padded k x k neighbourhood of (stride*y, stride*x).

    Args:
        x: (B, C, H, W); channel c belongs to group c // (C // groups).
        kernels: (B, groups * k*k, h, w) with h, w = ceil(H / stride), ceil(W / stride), k odd, normalised as the
            caller wishes. Channel group * k*k + tap, taps row-major in k x k. Its dtype may differ from x's.
        stride: input pixels per output pixel along each side.
        groups: number of groups of channels that share kernels.
        backend: 'triton', 'mmcv' or 'torch'; by default chosen.

    Returns:
        (B, C, h, w), in the dtype and memory format of x. Sums are accumulated in float32, or in float64 if any input
        is.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit each other; an unknown backend.
        RuntimeError: a forced backend that cannot run.
    """
    return _reassemble(x, kernels, stride, 1, groups, backend)


def _reassemble(x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int, backend: str | None) -> Tensor:
    _check(x, kernels, stride, scale, groups)
    if torch.compiler.is_compiling():  # the ops below are opaque to it; they choose when they run
        return Reassemble.apply(x, kernels, stride, scale, groups, backend or '')
    masks = reassembly_mmcv.number_of_masks(kernels.shape[1], stride, scale, groups)
    backend = choose_backend(x.device, torch.promote_types(x.dtype, kernels.dtype), backend, masks=masks)
    if backend == 'mmcv' and x.numel():
        return reassembly_mmcv.reassemble(x, kernels, stride=stride, scale=scale, groups=groups)
    return Reassemble.apply(x, kernels, stride, scale, groups, backend)


def _check(x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int, grad: Tensor | None = None) -> None:
    if x.dim() != 4 or kernels.dim() != 4:
        raise ValueError(f'x {tuple(x.shape)} and kernels {tuple(kernels.shape)} must have 4 dimensions each')
    if min(stride, scale, groups) < 1:
        raise ValueError(f'stride {stride}, scale {scale} and groups {groups} must be positive')
    if x.device != kernels.device:
        raise ValueError(f'x is on {x.device}, but kernels are on {kernels.device}')
    if not (x.is_floating_point() and kernels.is_floating_point()):
        raise ValueError(f'x is {x.dtype} and kernels are {kernels.dtype}; both must be floating point')
    if len(x) != len(kernels):
        raise ValueError(f'{len(x)} images in x, but {len(kernels)} in kernels')
    if x.shape[1] % groups:
        raise ValueError(f'{x.shape[1]} channels of x cannot be split into {groups} groups')
    taps, rest = divmod(kernels.shape[1], groups * scale**2)
    if rest or isqrt(taps) ** 2 != taps or taps % 2 == 0:
        raise ValueError(
            f'kernels have {kernels.shape[1]} channels; with {groups} groups and scale {scale} there must be '
            f'{groups * scale**2} * k * k, with an odd k'
        )
    grid = tuple(-(-n // stride) for n in x.shape[2:])
    if tuple(kernels.shape[2:]) != grid:
        raise ValueError(
            f'kernels of {kernels.shape[2]} x {kernels.shape[3]}, but x of {x.shape[2]} x {x.shape[3]} with stride '
            f'{stride} needs {grid[0]} x {grid[1]}'
        )
    output = *x.shape[:2], scale * grid[0], scale * grid[1]
    if grad is not None and (tuple(grad.shape) != output or grad.device != x.device):
        raise ValueError(f'a gradient of {tuple(grad.shape)} on {grad.device} for a result of {output} on {x.device}')


# The ops: opaque to torch.compile, and with shapes alone on PyTorch's meta device


class Reassemble(torch.autograd.Function):
    """The map with its gradients; only the inputs that a needed gradient takes are saved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int, backend: str) -> Tensor:
        """The map, by a backend."""
        for_x, for_kernels = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if for_kernels else None, kernels if for_x else None)
        ctx.size, ctx.channels_last = x.shape[2:], _channels_last(x)
        ctx.kernels = kernels.shape[1], kernels.dtype
        ctx.arguments = stride, scale, groups, backend
        return torch.ops.mmagg.reassemble(x, kernels, *ctx.arguments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of map and kernels, where they are needed."""
        x, kernels = ctx.saved_tensors
        for_x = for_kernels = None
        if ctx.needs_input_grad[0]:
            for_x = torch.ops.mmagg.reassemble_grad_x(grad, kernels, *ctx.size, ctx.channels_last, *ctx.arguments)
        if ctx.needs_input_grad[1]:
            for_kernels = torch.ops.mmagg.reassemble_grad_kernels(grad, x, *ctx.kernels, *ctx.arguments)
        return for_x, for_kernels, None, None, None, None


ARGUMENTS = 'int stride, int scale, int groups, str backend'
torch.library.define('mmagg::reassemble', f'(Tensor x, Tensor kernels, {ARGUMENTS}) -> Tensor')
torch.library.define(
    'mmagg::reassemble_grad_x',
    f'(Tensor grad, Tensor kernels, SymInt height, SymInt width, bool channels_last, {ARGUMENTS}) -> Tensor',
)
torch.library.define(
    'mmagg::reassemble_grad_kernels',
    f'(Tensor grad, Tensor x, SymInt channels, ScalarType dtype, {ARGUMENTS}) -> Tensor',
)


@torch.library.register_fake('mmagg::reassemble')
def _empty(x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int, backend: str) -> Tensor:
    shape = *x.shape[:2], scale * kernels.shape[2], scale * kernels.shape[3]
    return _new(x, shape, channels_last=_channels_last(x))


@torch.library.register_fake('mmagg::reassemble_grad_x')
def _empty_grad_x(
    grad: Tensor, kernels: Tensor, height: int, width: int, channels_last: bool, *arguments: int | str
) -> Tensor:
    return _new(grad, (*grad.shape[:2], height, width), channels_last=channels_last)


@torch.library.register_fake('mmagg::reassemble_grad_kernels')
def _empty_grad_kernels(
    grad: Tensor, x: Tensor, channels: int, dtype: torch.dtype, stride: int, scale: int, groups: int, backend: str
) -> Tensor:
    return grad.new_empty(len(x), channels, grad.shape[2] // scale, grad.shape[3] // scale, dtype=dtype)


@torch.library.impl('mmagg::reassemble', 'default')
def _forward(x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int, backend: str) -> Tensor:
    _check(x, kernels, stride, scale, groups)  # again: the op can be called by its name
    out = _empty(x, kernels, stride, scale, groups, backend)
    if out.numel():
        _form(backend, x, kernels).forward(out, x, kernels, stride, scale, groups)
    return out


@torch.library.impl('mmagg::reassemble_grad_x', 'default')
def _grad_x(
    grad: Tensor, kernels: Tensor, height: int, width: int, channels_last: bool,
    stride: int, scale: int, groups: int, backend: str,
) -> Tensor:  # fmt: skip
    out = _empty_grad_x(grad, kernels, height, width, channels_last)
    _check(out, kernels, stride, scale, groups, grad)
    if out.numel():
        _form(backend, grad, kernels).grad_x(out, grad, kernels, stride, scale, groups)
    return out


@torch.library.impl('mmagg::reassemble_grad_kernels', 'default')
def _grad_kernels(
    grad: Tensor, x: Tensor, channels: int, dtype: torch.dtype, stride: int, scale: int, groups: int, backend: str
) -> Tensor:
    out = _empty_grad_kernels(grad, x, channels, dtype, stride, scale, groups, backend)
    _check(x, out, stride, scale, groups, grad)
    if grad.numel():
        _form(backend, grad, out).grad_kernels(out, grad, x, stride, scale, groups)
    return out if grad.numel() else out.zero_()


def _form(backend: str, *tensors: Tensor) -> ModuleType:
    """The module that computes: both have `forward`, `grad_x` and `grad_kernels`, which fill their first argument."""
    name = choose_backend(tensors[0].device, torch.promote_types(*(t.dtype for t in tensors)), backend)
    if name == 'triton':
        from mmagg.ops import reassembly_triton

        return reassembly_triton
    return reassembly_torch  # under torch.compile for mmcv as well, whose op knows no shapes


def _new(like: Tensor, shape: tuple[int, ...], *, channels_last: bool) -> Tensor:
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format)


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
