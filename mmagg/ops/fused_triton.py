"""The Triton kernels of `fused`: vectors of unit length, the gate of two maps, and their weighted sum.

All compute in float32, and add up in an order that is always the same.
"""

import torch
from torch import Tensor

from mmagg.ops.reassembly_launch import LARGEST
from mmagg.ops.triton_pixels import tl, triton

VECTORS, CHANNELS = 16, 128  # of a tile of `unit_kernel`
TILE = 8192  # elements of a matrix that a program of `gate_kernel` has at once
OUTPUTS = 64  # of a program of `gate_kernel`
BLOCK = 1024  # elements of a program of `weigh_kernel`


# Which stride is 1 is compiled in: neighbours are read side by side.
@triton.jit(do_not_specialize=['x_b', 'number', 'channels'], do_not_specialize_on_alignment=['x_n', 'x_c'])
def unit_kernel(
    x, out, x_b, x_n, x_c, number, channels, scale, eps, VECTORS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """Program (tile of vectors, image). The vectors are read twice: they may be longer than registers can hold."""
    image = tl.program_id(1).to(tl.int64)
    vector = (tl.program_id(0) * VECTORS + tl.arange(0, VECTORS)[:, None]).to(tl.int64)
    channel = tl.arange(0, CHANNELS)[None, :].to(tl.int64)
    source = x + image * x_b + vector * x_n
    total = tl.zeros((VECTORS, CHANNELS), tl.float32)
    for start in range(0, channels, CHANNELS):
        inside = (vector < number) & (start + channel < channels)
        values = tl.load(source + (start + channel) * x_c, mask=inside, other=0).to(tl.float32)
        total += values * values
    factor = scale / tl.sqrt(tl.sum(total, 1) + eps)[:, None]
    for start in range(0, channels, CHANNELS):
        inside = (vector < number) & (start + channel < channels)
        values = tl.load(source + (start + channel) * x_c, mask=inside, other=0).to(tl.float32)
        tl.store(out + (image * number + vector) * channels + start + channel, values * factor, mask=inside)


def unit_vectors(out: Tensor, x: Tensor, scale: float, eps: float) -> Tensor:
    """`fused.unit_vectors`, stored in `out`."""
    images, number, channels = x.shape
    grid = triton.cdiv(number, VECTORS), images
    block = min(CHANNELS, triton.next_power_of_2(channels))
    with torch.cuda.device_of(x):
        unit_kernel[grid](
            x, out, *x.stride(), number, channels, float(scale), eps, VECTORS=VECTORS, CHANNELS=block, num_warps=8
        )  # fmt: skip
    return out


@triton.jit
def gate_kernel(
    first, second, squeeze, squeeze_bias, norm, norm_bias, excite, excite_bias, out, eps, gain,
    C: tl.constexpr, M: tl.constexpr, HIDDEN: tl.constexpr, INPUTS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """Program (part of the 2 C weights, image). Each computes the bottleneck of M (HIDDEN: a power of 2) anew."""
    image = tl.program_id(1).to(tl.int64)
    hidden = tl.arange(0, HIDDEN)
    total = tl.zeros((HIDDEN, INPUTS), tl.float32)
    for start in range(0, C, INPUTS):
        channel = start + tl.arange(0, INPUTS)
        inside = (hidden < M)[:, None] & (channel < C)[None, :]
        rows = squeeze + hidden[:, None] * (2 * C) + channel[None, :]
        pooled = tl.load(first + image * C + channel, mask=channel < C, other=0).to(tl.float32)
        total += tl.load(rows, mask=inside, other=0).to(tl.float32) * pooled[None, :]
        pooled = tl.load(second + image * C + channel, mask=channel < C, other=0).to(tl.float32)
        total += tl.load(rows + C, mask=inside, other=0).to(tl.float32) * pooled[None, :]
    x = tl.sum(total, 1) + tl.load(squeeze_bias + hidden, mask=hidden < M, other=0).to(tl.float32)
    x = tl.where(hidden < M, x - tl.sum(x, 0) / M, 0)  # beyond M they are zero
    x = x / tl.sqrt(tl.sum(x * x, 0) / M + eps)
    x = x * tl.load(norm + hidden, mask=hidden < M, other=0).to(tl.float32)
    x = tl.maximum(x + tl.load(norm_bias + hidden, mask=hidden < M, other=0).to(tl.float32), 0)
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    inside = (output < 2 * C)[:, None] & (hidden < M)[None, :]
    rows = tl.load(excite + output[:, None] * M + hidden[None, :], mask=inside, other=0).to(tl.float32)
    logits = tl.sum(rows * x[None, :], 1)
    logits += tl.load(excite_bias + output, mask=output < 2 * C, other=0).to(tl.float32)
    tl.store(out + image * (2 * C) + output, gain / (1 + tl.exp(-logits)), mask=output < 2 * C)


def channel_weights(
    out: Tensor, first: Tensor, second: Tensor, squeeze: Tensor, squeeze_bias: Tensor, norm: Tensor, norm_bias: Tensor,
    excite: Tensor, excite_bias: Tensor, eps: float, gain: float,
) -> Tensor:  # fmt: skip
    """`fused.channel_weights`, stored in `out` (B, 2 C)."""
    images, channels = first.shape
    given = first, second, squeeze, squeeze_bias, norm, norm_bias, excite, excite_bias
    hidden = triton.next_power_of_2(len(squeeze))
    inputs, outputs = (max(1, min(most, TILE // hidden)) for most in (triton.next_power_of_2(channels), OUTPUTS))
    with torch.cuda.device_of(first):
        gate_kernel[triton.cdiv(2 * channels, outputs), images](
            *(x.contiguous() for x in given), out, eps, float(gain),
            C=channels, M=len(squeeze), HIDDEN=hidden, INPUTS=inputs, OUTPUTS=outputs, num_warps=8,
        )  # fmt: skip
    return out


@triton.jit(do_not_specialize=['W', 'inner', 'size', 'first_b', 'second_b', 'x_b', 'x_c', 'x_h', 'x_w'])
def weigh_kernel(
    x, first, other, second, W, inner, size, first_b, second_b, x_b, x_c, x_h, x_w,
    C: tl.constexpr, CUT: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (block of elements, image). `inner` elements lie between those of two channels: 1 if channels_last.

    CUT: x is laid out otherwise than the other map.
    """
    image, block = tl.program_id(1).to(tl.int64), tl.program_id(0)
    offset = (block.to(tl.int64) if WIDE else block) * BLOCK + tl.arange(0, BLOCK)
    inside, channel = offset < size, offset // inner % C
    if CUT:
        pixel = offset // C if inner == 1 else offset % inner
        place = image * x_b + channel.to(tl.int64) * x_c + (pixel // W).to(tl.int64) * x_h + pixel % W * x_w
    else:
        place = image * size + offset
    own = tl.load(x + place, mask=inside).to(tl.float32)
    theirs = tl.load(other + image * size + offset, mask=inside).to(tl.float32)
    own *= tl.load(first + image * first_b + channel, mask=inside).to(tl.float32)
    own += tl.load(second + image * second_b + channel, mask=inside).to(tl.float32) * theirs
    tl.store(x + place, own, mask=inside)


def weigh_and_add(x: Tensor, first: Tensor, other: Tensor, second: Tensor) -> None:
    """`fused.weigh_and_add_`; the other map is contiguous or channels_last."""
    images, channels, height, width = other.shape
    inner, size = height * width if other.is_contiguous() else 1, channels * height * width
    with torch.cuda.device_of(x):
        weigh_kernel[triton.cdiv(size, BLOCK), images](
            x, first, other, second, width, inner, size, first.stride(0), second.stride(0), *x.stride(),
            C=channels, CUT=x.stride() != other.stride(), WIDE=size > LARGEST - BLOCK, BLOCK=BLOCK,
        )  # fmt: skip
