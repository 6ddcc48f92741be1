"""Small conv nets, each with the weights of its instance (Agg in AggMask, Eq. 6; also CondInst's mask heads).

Shape shorthand: N instances, P dynamic parameters of each, C input channels, c channels between layers, K gathered maps
of each instance, U maps to gather from, (H, W) map size, k kernel side.
"""

import os
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops import dynamic_conv_layers, dynamic_conv_native
from mmagg.ops.dynamic_conv_spec import DynamicConvSpec
from mmagg.ops.stage import stage
from mmagg.ops.upload import upload

VARIABLE = 'MMAGG_DYNAMIC_CONV'
NAMES = ('native', 'triton', 'torch')
MIN_BLOCK, MAX_BLOCK = 4, 16
BLOCK_PIXELS = 2**16
GPU_BLOCK = 32  # calls cost more than multiplications


def dynamic_conv(x: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """The plain form: a conv net per instance on an input per instance, as grouped convolutions.

    Args:
        x: (N, C, H, W).
        params: (N, P), laid out as `DynamicConvSpec.split` says.
        spec: shape of the net.

    Returns:
        (N, H, W).
    """
    n = len(x)
    x = x.reshape(1, -1, *x.shape[2:])
    for i, (weight, bias) in enumerate(spec.split(params)):
        x = F.relu(x) if i else x
        x = F.conv2d(x, weight.flatten(0, 1), bias.flatten(), padding=spec.kernel_size // 2, groups=n)
    return x[0]


@stage('aggregation')
def dynamic_conv_of_gathered(
    maps: Tensor,
    index: Tensor,
    shared: Tensor,
    params: Tensor,
    spec: DynamicConvSpec,
    *,
    backend: str | None = None,
) -> Tensor:
    """`dynamic_conv` whose input is, for each instance, some of the maps, then the shared ones; it is never stacked.

    Plainly:

        maps = F.interpolate(maps[None], size=(H, W), mode='bilinear')[0]
        dynamic_conv(torch.cat([maps[index], shared.expand(N, -1, -1, -1)], 1), params, spec)

    Three backends:

        native  float32 on the CPU without gradients, compiled at its first use; see `dynamic_conv_native`
        triton  up to float32 on CUDA without gradients, not under torch.compile; see `dynamic_conv_layers`
        torch   everything else; see `as_dense_convolutions`

    The environment variable MMAGG_DYNAMIC_CONV or the argument `backend` force one. NaN and infinite values come out
    where they do plainly; but torch, on CUDA or with gradients, may have them in more instances.

    Args:
        maps: (U, h, w), upsampled (align_corners=False) after gathering if smaller than the shared maps: so that the
            large maps stay in the caches.
        index: (N, K) integers, on the CPU, the maps of each instance; may repeat.
        shared: (C - K, H, W) input of all instances.
        params: (N, P).
        spec: shape of the net.
        backend: 'native', 'triton' or 'torch'; by default chosen.

    Returns:
        (N, H, W).

    Raises:
        ValueError: shapes that do not fit each other or the net; an unknown backend.
        TypeError: indices that are no integers.
        IndexError: an index outside [0, U).
        RuntimeError: a forced backend that cannot run; dtypes or devices that do not fit each other.
    """
    spec.check(maps, index, shared, params)
    index = index.long()
    wanted = backend or os.environ.get(VARIABLE)
    if wanted and wanted not in NAMES:
        raise ValueError(f'dynamic_conv: backend {wanted!r} is not one of {NAMES} (argument or {VARIABLE})')
    if not len(index):
        return shared.new_zeros(0, *shared.shape[1:])
    if wanted not in ('torch', 'triton') and dynamic_conv_native.usable(maps, shared, params):
        result, finite = dynamic_conv_native.dynamic_conv_of_gathered(maps, index, shared, params, spec)
    elif wanted == 'native':
        raise RuntimeError(
            f'dynamic_conv: the native backend was asked for (argument or {VARIABLE}); it takes '
            f'float32 on the CPU without gradients, and a library ({dynamic_conv_native.problem() or "which is here"})'
        )
    elif wanted != 'torch' and (problem := dynamic_conv_layers.problem(maps, shared, params)) is None:
        return dynamic_conv_layers.dynamic_conv_of_gathered(maps, index, shared, params, spec)
    elif wanted == 'triton':
        raise RuntimeError(f'dynamic_conv: the triton backend was asked for (argument or {VARIABLE}), but {problem}')
    else:
        result = as_dense_convolutions(maps, index, shared, params, spec)
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or result.device.type != 'cpu':
            return result  # looking at numbers would wait for a GPU, and break a graph
        # Much faster than looking at each number; a sum that overflows is merely computed again.
        finite = result.sum((1, 2), dtype=torch.promote_types(result.dtype, torch.float32)).isfinite()
    # Zeros of a dense net take NaN from one instance to others, and whether padding times an infinite weight is NaN is
    # up to the form. Each form has it at least where the plain one has.
    for i in (~finite).nonzero().flatten().tolist():
        result[i] = plainly(maps, index[i], shared, params[i], spec)
    return result


def backends() -> str:
    """The backend that runs on this machine, in words."""
    problem = dynamic_conv_native.problem()
    on_cpu = f'torch on the CPU (not native: {problem})' if problem else 'native for float32 inference on the CPU'
    if not torch.cuda.is_available():
        return f'{on_cpu}, else torch'
    problem = dynamic_conv_layers.failure(None)
    on_cuda = f'torch on CUDA (not triton: {problem})' if problem else 'triton for inference on CUDA'
    return f'{on_cpu}, {on_cuda}, else torch'


def plainly(maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """The plain form of `dynamic_conv_of_gathered` for one instance: index (K,), params (P,) -> (H, W)."""
    own = maps[upload(index, maps.device)][None]
    if own.shape[2:] != shared.shape[1:] and own.shape[1]:
        own = F.interpolate(own, size=shared.shape[1:], mode='bilinear', align_corners=False)
    own = own.reshape(1, -1, *shared.shape[1:])
    return dynamic_conv(torch.cat([own, shared[None]], 1), params[None], spec)[0]


def as_dense_convolutions(maps: Tensor, index: Tensor, shared: Tensor, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """`dynamic_conv_of_gathered` in torch, for N > 0.

    A block of instances becomes one dense net on the maps that any of them needs: the gathering moves into the weights
    of the first layer, those of the others are block-diagonal. So the shared maps are read once per block.
    """
    n, size = len(index), shared.shape[1:]
    # Larger blocks waste multiplications on zeros, smaller ones leave vector registers empty (4 instances of 4 channels
    # fill 16 lanes). On small maps, calls cost more than multiplications.
    block = min(MAX_BLOCK, max(MIN_BLOCK, BLOCK_PIXELS // size.numel()))
    if maps.device.type == 'cuda':
        block = GPU_BLOCK
    # A copy, also of a channels_last map: `[None]` gives its batch dimension an unusual stride, which sends oneDNN on a
    # path that is several times slower.
    shared = shared[None].clone(memory_format=torch.channels_last)

    parts = [part.unique(return_inverse=True) for part in index.split(block)]
    there = iter(uploaded([used for used, _ in parts if len(used) < len(maps)], maps.device))
    matrices = [x for used, place in parts for x in (one_hot(place, len(used)), own_inputs(len(place), spec.channels))]
    ones = iter(uploaded(matrices, maps.device, dtype=params.dtype))

    def blocks() -> Iterator[Tensor]:
        for (used, _), part_params in zip(parts, [params] if n <= block else params.split(block), strict=True):
            gathered = maps if len(used) == len(maps) else maps[next(there)]
            gathered = gathered[None].clone(memory_format=torch.channels_last)
            if gathered.shape[2:] != size and len(used):
                gathered = F.interpolate(gathered, size=size, mode='bilinear', align_corners=False)
            yield run_block(gathered, next(ones), next(ones), shared, spec.split(part_params))

    if torch.is_grad_enabled():
        results = list(blocks())
        return results[0] if len(results) == 1 else torch.cat(results)
    # Without a graph, the next block reuses this one's memory, which is still in the caches.
    result = maps.new_empty(n, *size)
    for part, values in zip(result.split(block), blocks(), strict=True):
        part.copy_(values)
    return result


def uploaded(values: list[Tensor], device: torch.device, *, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Tensors of one dtype on a device, by one copy."""
    if not values:
        return []
    flat = upload(torch.cat([x.flatten() for x in values]), device, dtype=dtype)
    return [x.view(like.shape) for x, like in zip(flat.split([x.numel() for x in values]), values, strict=True)]


def run_block(
    gathered: Tensor, chosen: Tensor, own: Tensor, shared: Tensor, layers: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """The nets of a few instances as dense convolutions.

    Args:
        gathered: (1, U, H, W), the maps that any of them needs.
        chosen: (N, K, U), see `one_hot`.
        own: (N, N * c), see `own_inputs`.
        shared: (1, C - K, H, W).
        layers: from `DynamicConvSpec.split`.

    Returns:
        (N, H, W).
    """
    (weight, bias), *others = layers
    padding = weight.shape[-1] // 2
    of_gathered, of_shared = weight.split([chosen.shape[1], shared.shape[1]], dim=2)
    inputs = [(gathered, scatter_inputs(of_gathered, chosen)), (shared, of_shared.flatten(0, 1))]
    inputs = [(x, dense) for x, dense in inputs if x.shape[1]]
    x = F.conv2d(*inputs[0], bias.flatten(), padding=padding)
    for more in inputs[1:]:
        x += F.conv2d(*more, padding=padding)
    for weight, bias in others[:-1]:
        x = F.conv2d(x.relu_(), block_diagonal(weight), bias.flatten(), padding=padding)
    if others:
        weight, bias = others[-1]
        # One output each: a depth-wise convolution wastes nothing; a 1x1 convolution with ones sums its channels.
        x = F.conv2d(x.relu_(), weight.flatten(0, 2)[:, None], padding=padding, groups=x.shape[1])
        x = F.conv2d(x, own[:, :, None, None], bias.flatten())
    return x.squeeze(0)


def block_diagonal(weight: Tensor) -> Tensor:
    """(N, O, C, k, k) -> (N * O, N * C, k, k): each instance sees its own channels only."""
    n, o, c, k, _ = weight.shape
    dense = weight.new_zeros(n, o, n, c, k, k)
    own = torch.arange(n, device=weight.device)
    dense[own, :, own] = weight
    return dense.view(n * o, n * c, k, k)


def scatter_inputs(weight: Tensor, chosen: Tensor) -> Tensor:
    """(N, O, K, k, k) weights of gathered maps -> (N * O, U, k, k) weights of all maps; `chosen` is of `one_hot`."""
    # A product: scatter_add would sum up in any order on CUDA, and be refused among deterministic algorithms.
    return torch.einsum('noKyx,nKu->nouyx', weight, chosen).flatten(0, 1)


def one_hot(place: Tensor, length: int) -> Tensor:
    """(...) integers in [0, length) -> (..., length) float32."""
    return (place[..., None] == torch.arange(length)).float()


def own_inputs(n: int, channels: int) -> Tensor:
    """(N, N * c), 1 where a channel is of the instance, else 0."""
    return torch.eye(n).repeat_interleave(channels, 1)
