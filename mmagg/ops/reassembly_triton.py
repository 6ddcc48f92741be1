"""Content-aware reassembly as fused Triton kernels: backward for the features and for the kernels, and launching.

`reassembly_forward` has those of the forward pass.

The map is that of `reassembly`, with its output called `fine`. A point (y, x) of the grid of kernels stands for
scale x scale pixels (i, j) of the fine map and for stride x stride pixels (p, q) of x. Every program has a tile of
points, whose kernels it reads once for several channels; nothing is padded, unfolded or shuffled. Each result is summed
by one thread, in float32 and always in the same order.

Shape shorthand: B images, C channels, k kernel side, (H, W) size of x, (h, w) size of the grid of kernels. Tensors of
the Triton code are [channels or taps, points] of a tile of TY x TX points.
"""

from functools import cache

import torch
from torch import Tensor

from mmagg.ops.reassembly_forward import INTERPRETED, compiled, forward
from mmagg.ops.reassembly_launch import Launch
from mmagg.ops.triton_pixels import (
    load_row,
    multiple,
    row_of,
    store_row,
    tl,
    triton,
    with_item,
)


@compiled
def grad_x_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    CHANNELS: tl.constexpr, VEC: tl.constexpr, WIDE: tl.constexpr, R: tl.constexpr, PAIRED: tl.constexpr,
):  # fmt: skip
    """Gradient for x, stored there, from that of the fine map. Program (tile, group and part of its channels, image).

    A point collects from the points (y + e, x + f) whose taps reach it; R rows at once share what they read.
    """
    if VEC > 1:
        x_b, x_h, x_w, width = multiple(x_b, VEC), multiple(x_h, VEC), multiple(x_w, VEC), multiple(width, VEC)
        fine_b, fine_h, fine_w = multiple(fine_b, VEC), multiple(fine_h, VEC), multiple(fine_w, VEC)
    HALF: tl.constexpr = K // 2
    LEFT: tl.constexpr = HALF // STRIDE  # points that read this one lie so many to the left, or less
    RIGHT: tl.constexpr = (HALF + STRIDE - 1) // STRIDE
    tile_y, tile_x = tl.program_id(0) // tl.cdiv(w, TX) * TY * R, tl.program_id(0) % tl.cdiv(w, TX) * TX
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    zero = image * 0 if WIDE else tl.program_id(2) * 0  # of the type of offsets
    point = tl.arange(0, TY * TX)[None, :]
    y, x_ = tile_y + point // TX * R, tl.max_contiguous(tile_x + point % TX, (1, 1))
    weights = kernels + image * k_b + (zero + group * (K * K * SCALE * SCALE)) * k_c
    weights += (zero + y) * k_h + (zero + x_) * k_w
    if PAIRED:  # which the compiler sees by this
        fine_b, fine_c, fine_h = multiple(fine_b, 2), multiple(fine_c, 2), multiple(fine_h, 2)
    corner, wide_y, wide_x = row_of(
        fine + image * fine_b, zero + tile_y, zero + tile_x, fine_h, fine_w, SCALE, R, TY, TX, PAIRED
    )  # fmt: skip
    for start in range(part * CHANNELS, width, parts * CHANNELS):
        channel = (group * width + start + tl.arange(0, CHANNELS)[:, None]).to(tl.int64)
        total = (tl.zeros((CHANNELS, TY * TX), tl.float32),) * (R * STRIDE * STRIDE)
        for e in range(-LEFT, R + RIGHT):
            for f in tl.static_range(LEFT + RIGHT + 1):
                on_grid = (y + e >= 0) & (y + e < h) & (x_ + f - LEFT >= 0) & (x_ + f - LEFT < w)
                inside = (wide_y + e >= 0) & (wide_y + e < h) & (wide_x + f - LEFT >= 0) & (wide_x + f - LEFT < w)
                for i in tl.static_range(SCALE):
                    source = corner + channel * fine_c + (zero + (e * SCALE + i)) * fine_h
                    pixels = load_row(source, inside, fine_w, f - LEFT, SCALE, PAIRED)
                    for r in tl.static_range(R):
                        for p in tl.static_range(STRIDE):
                            # Row of the kernel; the interpreter would make a number of another type of a variable.
                            exists = on_grid & ((r - e) * STRIDE + p + HALF >= 0) & ((r - e) * STRIDE + p + HALF < K)
                            for q in tl.static_range(STRIDE):
                                if (LEFT - f) * STRIDE + q + HALF >= 0 and (LEFT - f) * STRIDE + q + HALF < K:
                                    tap = ((r - e) * STRIDE + p + HALF) * K + (LEFT - f) * STRIDE + q + HALF
                                    for j in tl.static_range(SCALE):
                                        place = (zero + (tap * SCALE + i) * SCALE + j) * k_c
                                        place += (zero + e) * k_h + (f - LEFT) * k_w
                                        weight = tl.load(weights + place, mask=exists, other=0).to(tl.float32)
                                        total = with_item(
                                            total,
                                            (r * STRIDE + p) * STRIDE + q,
                                            total[(r * STRIDE + p) * STRIDE + q] + pixels[j] * weight,
                                        )
        maps = x + image * x_b + channel * x_c
        for r in tl.static_range(R):
            for p in tl.static_range(STRIDE):
                store_row(
                    maps, total[(r * STRIDE + p) * STRIDE : (r * STRIDE + p + 1) * STRIDE],
                    (zero + tile_y + r) * STRIDE + p, (zero + tile_x) * STRIDE, H, W, x_h, x_w, STRIDE, R, TY, TX,
                )  # fmt: skip


@compiled
def grad_kernels_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    k_part,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    TAPS: tl.constexpr, PAIRED: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradient for the kernels, stored there, a map per part, from that of the fine map.

    Program (tile, group and part of its channels, image).
    """
    tile_y, tile_x = tl.program_id(0) // tl.cdiv(w, TX) * TY, tl.program_id(0) % tl.cdiv(w, TX) * TX
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    zero = image * 0 if WIDE else tl.program_id(2) * 0  # of the type of offsets
    point = tl.arange(0, TY * TX)[None, :]
    y, x_ = tile_y + point // TX, tl.max_contiguous(tile_x + point % TX, (1, 1))
    tap = tl.arange(0, TAPS)[:, None]
    row, column = y * STRIDE + tap // K - K // 2, x_ * STRIDE + tap % K - K // 2
    reached = (tap < K * K) & (row >= 0) & (row < H) & (column >= 0) & (column < W)
    source = x + image * x_b + (zero + row) * x_h + (zero + column) * x_w
    if PAIRED:  # which the compiler sees by this
        fine_b, fine_c, fine_h = multiple(fine_b, 2), multiple(fine_c, 2), multiple(fine_h, 2)
    coming, wide_y, wide_x = row_of(
        fine + image * fine_b, zero + tile_y, zero + tile_x, fine_h, fine_w, SCALE, 1, TY, TX, PAIRED
    )  # fmt: skip
    inside = (wide_y < h) & (wide_x < w)
    total = (tl.zeros((TAPS, TY * TX), tl.float32),) * (SCALE * SCALE)
    for start in range(part, width, parts):
        channel = (group * width + start).to(tl.int64)
        value = tl.load(source + channel * x_c, mask=reached, other=0).to(tl.float32)
        for i in tl.static_range(SCALE):
            pixels = load_row(coming + channel * fine_c + i * fine_h, inside, fine_w, 0, SCALE, PAIRED)
            for j in tl.static_range(SCALE):
                total = with_item(total, i * SCALE + j, total[i * SCALE + j] + value * pixels[j])
    weights = kernels + part * k_part + image * k_b + (zero + group * (K * K * SCALE * SCALE)) * k_c
    weights += (zero + y) * k_h + (zero + x_) * k_w
    for near in tl.static_range(SCALE * SCALE):
        stored = (tap < K * K) & (y < h) & (x_ < w)
        tl.store(weights + (zero + (tap * SCALE * SCALE + near)) * k_c, total[near], mask=stored)


# Launching


def objection(device: torch.device) -> str | None:
    """The reason why these kernels cannot run on a device, and what to do; None if they can."""
    if INTERPRETED:
        return None
    if device.type != 'cuda':
        return f'Triton needs tensors on CUDA, not on {device.type}; take backend torch'
    return _problem(device.index) if torch.cuda.is_available() else None


@cache
def _problem(index: int | None) -> str | None:
    device = torch.device('cuda', torch.cuda.current_device() if index is None else index)
    x, kernels, out = (torch.full(shape, 3.0, device=device) for shape in ((1, 1, 1, 1), (1, 4, 1, 1), (1, 1, 2, 2)))
    try:
        forward(out, x, kernels, stride=1, scale=2, groups=1)
        return None if (out == 9).all() else 'its kernels compute nonsense'
    except Exception as error:  # no C compiler, no Python headers, a GPU or a Triton that is too old, ...
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        return f'its kernels do not run ({reason}); they need a C compiler and Triton 3.4 or newer'


def grad_x(out: Tensor, grad: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.grad_x`."""
    rows = 2 if stride == 1 else 1  # with a stride, the registers are full of its pixels
    launch = Launch(grad, out, kernels, stride, scale, groups)
    if launch.by_channel:
        launch.share(channels=128, points=max(launch.vec, 4), warps=4, rows=rows)
    else:
        launch.share(channels=8, points=128, warps=4, rows=rows)
    launch(
        grad_x_kernel, CHANNELS=launch.channels, VEC=launch.vec, R=rows, PAIRED=paired(grad, scale)
    )  # fmt: skip


def grad_kernels(out: Tensor, grad: Tensor, x: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.grad_kernels`."""
    grad, x = grad.contiguous(), x.contiguous()  # a thread has one channel of a point: points are to be neighbours
    launch = Launch(grad, x, out, stride, scale, groups)
    launch.share(channels=1, points=32, warps=1)
    partial = out[None] if launch.parts == 1 else out.new_empty(launch.parts, *out.shape, dtype=torch.float32)
    launch.kernels = partial[0]
    launch(
        grad_kernels_kernel,
        TAPS=triton.next_power_of_2(launch.k**2),
        PAIRED=paired(grad, scale),
        k_part=partial.stride(0),
    )
    if launch.parts > 1:
        out.copy_(partial.sum(0))


def paired(fine: Tensor, scale: int) -> bool:
    """True if both pixels of a row of a point can be read at once."""
    return scale == 2 and fine.stride(3) == 1 and all(step % 2 == 0 for step in fine.stride()[:3])
