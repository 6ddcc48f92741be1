"""Small conv nets, each with the weights of its instance, layer by layer: a launch a layer, for inference on CUDA.

A layer reads gathered maps by their index and shared maps where they are; nothing is stacked, and no weight is a zero
of a dense net. So NaN and infinite values stay in their instance.

One kernel for all layers would compute the pixels around each tile again: in tiles of 16 x 16, the net of AggMask takes
1400 multiply-adds a pixel instead of 936. Layer by layer it writes 2 x 4 numbers a pixel and reads them again: 64
bytes, in whose time an A100 or H200 does some 450 to 500 multiply-adds, at most as many as the other form does twice.

Shape shorthand: N instances, P dynamic parameters of each, K gathered maps of each instance, S shared maps, U maps to
gather from, O outputs of a layer, c channels between layers, (H, W) map size, k kernel side.
"""

import os
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.dynamic_conv_spec import DynamicConvSpec
from mmagg.ops.upload import upload


def dynamic_conv_of_gathered(
    maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec
) -> Tensor:
    """`dynamic_conv.dynamic_conv_of_gathered` where there is no `problem`, for N > 0.

    Args:
        maps: (U, h, w).
        index: (N, K) integers, on the CPU.
        shared: (S, H, W).
        params: (N, P), whose dtype the result has: under autocast, resized maps are in float32.
        spec: shape of the net.

    Returns:
        (N, H, W).
    """
    size, own = shared.shape[1:], upload(index.int(), maps.device) if index.shape[1] else None
    if own is None:
        maps = shared[:0]
    elif maps.shape[1:] != size:
        maps = F.interpolate(maps[None], size=size, mode='bilinear', align_corners=False)[0]
    x, first = maps, 0
    for i, (outputs, inputs) in enumerate(spec.layers):
        relu = i < spec.num_layers - 1
        x = torch.ops.mmagg.dynamic_conv_layer(x, own, shared, params, first, outputs, spec.kernel_size, relu)
        x, own, shared = x.flatten(0, 1), None, shared[:0]
        first += outputs * (inputs * spec.kernel_size**2 + 1)
    return x


torch.library.define(
    'mmagg::dynamic_conv_layer',
    '(Tensor maps, Tensor? index, Tensor shared, Tensor params, SymInt first, SymInt outputs, SymInt size, bool relu)'
    ' -> Tensor',
)


@torch.library.register_fake('mmagg::dynamic_conv_layer')
def _empty(
    maps: Tensor, index: Tensor | None, shared: Tensor, params: Tensor, first: int, outputs: int, size: int, relu: bool
) -> Tensor:
    return params.new_empty(len(params), outputs, *shared.shape[1:])


@torch.library.impl('mmagg::dynamic_conv_layer', 'default')
def _layer(
    maps: Tensor, index: Tensor | None, shared: Tensor, params: Tensor, first: int, outputs: int, size: int, relu: bool
) -> Tensor:
    out = _empty(maps, index, shared, params, first, outputs, size, relu)
    if out.is_cuda or interpreted():
        from mmagg.ops import dynamic_conv_triton

        dynamic_conv_triton.layer(out, maps, index, shared, params, first, size, relu)
    else:
        layer_in_torch(out, maps, index, shared, params, first, size, relu)
    return out


def layer_in_torch(
    out: Tensor, maps: Tensor, index: Tensor | None, shared: Tensor, params: Tensor, first: int, size: int, relu: bool
) -> None:
    """A layer, plainly, an instance after the other.

    Args:
        out: (N, O, H, W), which is filled.
        maps: (U, H, W).
        index: (N, K), the maps of each instance; None: the first instance has the first U / N maps, and so on.
        shared: (S, H, W), further inputs of all instances.
        params: (N, P), of which the layer's weights (O, K + S, k, k), then its biases (O,), begin at `first`.
        size: k.
        relu: whether negative results become zero.
    """
    n, outputs = out.shape[:2]
    if index is None:
        index = torch.arange(len(maps)).view(n, -1)
    number = outputs * (index.shape[1] + len(shared)) * size**2
    for one, own, values in zip(out, index.long(), params.float(), strict=True):
        weight, bias = values[first : first + number + outputs].split([number, outputs])
        x = torch.cat([maps[own].float(), shared.float()])
        y = F.conv2d(x[None], weight.view(outputs, -1, size, size), bias, padding=size // 2)[0]
        one.copy_(y.relu() if relu else y)


def problem(*tensors: Tensor) -> str | None:
    """The reason why these layers cannot run on such tensors; None if they can."""
    if torch.compiler.is_compiling():
        return 'under torch.compile it would not be looked into'
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        return 'it has no gradients'
    if any(x.dtype == torch.float64 for x in tensors):
        return 'it computes in float32; take backend torch for float64'
    device = tensors[0].device
    if interpreted():
        return None
    return failure(device.index) if device.type == 'cuda' else f'it needs tensors on CUDA, not on {device.type}'


def interpreted() -> bool:
    """True in a process whose Triton interprets, slowly, on the CPU."""
    return os.environ.get('TRITON_INTERPRET') == '1'


@cache
def failure(index: int | None) -> str | None:
    """The reason why the operator fails on a GPU, which is tried at its first use; None if it does not."""
    try:
        device = torch.device('cuda', torch.cuda.current_device() if index is None else index)
        maps, none, params = (torch.full(shape, 3.0, device=device) for shape in ((1, 1, 1), (0, 1, 1), (1, 2)))
        out = torch.ops.mmagg.dynamic_conv_layer(maps, None, none, params, 0, 1, 1, False)
        return None if (out == 12).all() else 'its kernel computes nonsense'
    except Exception as error:  # no Triton, no C compiler, no Python headers, a GPU or a Triton that is too old, ...
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        return f'its kernel does not run ({reason}); it needs a C compiler and Triton 3.4 or newer'
