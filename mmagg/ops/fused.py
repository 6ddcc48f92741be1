"""Steps of A2-FPN that PyTorch takes several small operators for, as one operator and on CUDA one kernel each.

They are for inference, have no gradients, and leave them to the layers' plain forms. On CUDA Triton's kernels run
where those of reassembly do (`reassembly_choice`); elsewhere, and in float64, PyTorch's operators.

Shape shorthand: B images, N vectors, C channels, M of a gate's bottleneck, (H, W) size of a map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.reassembly_choice import choose_backend

EPS = 1e-6


def in_few_launches(x: Tensor) -> bool:
    """Whether these operators are to be taken: on a GPU, where no gradients are needed and nothing else fuses."""
    return x.is_cuda and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def unit_vectors(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """scale · x / √(Σ x² + 1e-6) along the last dimension, summed in float32 at least.

    Args:
        x: (B, N, C), of any strides.
        scale: length of the results.

    Returns:
        (B, N, C), contiguous, in the dtype of x.
    """
    return torch.ops.mmagg.unit_vectors(x, scale)


def channel_weights(
    first: Tensor, second: Tensor, squeeze: tuple[Tensor, Tensor], norm: tuple[Tensor, Tensor],
    excite: tuple[Tensor, Tensor], *, eps: float, gain: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """gain · σ(excite(ReLU(LN(squeeze(concat(first, second)))))), the weights of A2-FPN's Eq. 9.

    Args:
        first: (B, C), a pooled map.
        second: (B, C), another.
        squeeze: weight (M, 2 C) and bias.
        norm: weight and bias (M,).
        excite: weight (2 C, M) and bias.
        eps: of the norm.
        gain: factor.

    Returns:
        (B, C) of the coarse map and of the fine one, in the dtype of `first`.
    """
    weights = torch.ops.mmagg.channel_weights(first, second, *squeeze, *norm, *excite, eps, gain)
    coarse, fine = weights.chunk(2, dim=1)
    return coarse, fine


def weigh_and_add_(x: Tensor, first: Tensor, other: Tensor, second: Tensor) -> Tensor:
    """first · x + second · other, in place of x: (B, C, H, W) maps, (B, C) weights of their channels."""
    torch.ops.mmagg.weigh_and_add_(x, first, other, second)
    return x


torch.library.define('mmagg::unit_vectors', '(Tensor x, float scale) -> Tensor')
torch.library.define(
    'mmagg::channel_weights',
    '(Tensor first, Tensor second, Tensor squeeze, Tensor squeeze_bias, Tensor norm, Tensor norm_bias, '
    'Tensor excite, Tensor excite_bias, float eps, float gain) -> Tensor',
)
torch.library.define('mmagg::weigh_and_add_', '(Tensor(a!) x, Tensor first, Tensor other, Tensor second) -> ()')


@torch.library.register_fake('mmagg::unit_vectors')
def _empty_vectors(x: Tensor, scale: float) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.register_fake('mmagg::channel_weights')
def _empty_weights(first: Tensor, second: Tensor, *parameters: Tensor | float) -> Tensor:
    return first.new_empty(len(first), 2 * first.shape[1])


@torch.library.register_fake('mmagg::weigh_and_add_')
def _nothing(x: Tensor, first: Tensor, other: Tensor, second: Tensor) -> None:
    return None


@torch.library.impl('mmagg::unit_vectors', 'default')
def _unit_vectors(x: Tensor, scale: float) -> Tensor:
    if _by_triton(x):
        from mmagg.ops import fused_triton

        return fused_triton.unit_vectors(_empty_vectors(x, scale), x, scale, EPS)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return (x * ((norm.square() + EPS).rsqrt() * scale)).to(x.dtype).contiguous()


@torch.library.impl('mmagg::channel_weights', 'default')
def _channel_weights(
    first: Tensor, second: Tensor, squeeze: Tensor, squeeze_bias: Tensor, norm: Tensor, norm_bias: Tensor,
    excite: Tensor, excite_bias: Tensor, eps: float, gain: float,
) -> Tensor:  # fmt: skip
    parameters = squeeze, squeeze_bias, norm, norm_bias, excite, excite_bias
    if _by_triton(first):
        from mmagg.ops import fused_triton

        return fused_triton.channel_weights(_empty_weights(first, second), first, second, *parameters, eps, gain)
    statistic = torch.cat([first, second], dim=1).to(squeeze.dtype)
    hidden = F.layer_norm(F.linear(statistic, squeeze, squeeze_bias), norm.shape, norm, norm_bias, eps)
    return (gain * F.linear(hidden.relu(), excite, excite_bias).sigmoid()).to(first.dtype)


@torch.library.impl('mmagg::weigh_and_add_', 'default')
def _weigh_and_add_(x: Tensor, first: Tensor, other: Tensor, second: Tensor) -> None:
    if _by_triton(x) and (other.is_contiguous() or other.is_contiguous(memory_format=torch.channels_last)):
        from mmagg.ops import fused_triton

        fused_triton.weigh_and_add(x, first, other, second)
    else:
        x.mul_(first[..., None, None]).addcmul_(second[..., None, None], other)


def _by_triton(x: Tensor) -> bool:
    return x.numel() > 0 and choose_backend(x.device, x.dtype) == 'triton'
