"""Content-aware reassembly as fused Triton kernels: forward, and backward for the features and for the kernels.

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

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError('the kernels for GPUs need Triton: pip install triton') from error
if tuple(map(int, triton.__version__.split('.')[:2])) < (3, 4):
    raise ImportError(f'the kernels for GPUs need Triton 3.4 (of PyTorch 2.8) or newer, not {triton.__version__}')

from mmagg.ops.reassembly_launch import Launch, together
from mmagg.ops.triton_pixels import (
    load_points,
    load_row,
    load_window,
    multiple,
    row_of,
    store_points,
    store_row,
    with_item,
)  # fmt: skip

# Sizes differ from image to image: kernels are not to be compiled anew for them. A stride is 1 or it is not.
SIZES = ['fine_b', 'fine_h', 'x_b', 'x_h', 'k_b', 'k_h', 'k_part', 'H', 'W', 'h', 'w', 'width', 'parts']
STRIDES = ['fine_c', 'fine_w', 'x_c', 'x_w', 'k_c', 'k_w']
compiled = triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=STRIDES)


@compiled
def forward_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    CHANNELS: tl.constexpr, VEC: tl.constexpr, WIDE: tl.constexpr,
    Q: tl.constexpr, VECTORS: tl.constexpr, K_VECTORS: tl.constexpr,
):  # fmt: skip
    """Program (tile, group and part of its channels, image). A thread takes Q points of a row.

    Tiles lie inside the grid: the last ones overlap those before them, and write the same values again.
    """
    S: tl.constexpr = STRIDE * Q  # pixels of x and of the fine map that a thread's points stand for, in a row
    N: tl.constexpr = SCALE * Q
    KN: tl.constexpr = Q if K_VECTORS else 1
    if VECTORS:
        x_b, x_c, x_h, W = multiple(x_b, S), multiple(x_c, S), multiple(x_h, S), multiple(W, S)
        fine_b, fine_c, fine_h = multiple(fine_b, N), multiple(fine_c, N), multiple(fine_h, N)
    elif VEC > 1:
        x_b, x_h, x_w, width = multiple(x_b, VEC), multiple(x_h, VEC), multiple(x_w, VEC), multiple(width, VEC)
        fine_b, fine_h, fine_w = multiple(fine_b, VEC), multiple(fine_h, VEC), multiple(fine_w, VEC)
    if K_VECTORS:
        k_b, k_c, k_h = multiple(k_b, Q), multiple(k_c, Q), multiple(k_h, Q)
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    zero = image * 0 if WIDE else tl.program_id(2) * 0  # of the type of offsets
    across = tl.cdiv(w, TX * Q)
    tile_y = zero + tl.minimum(tl.program_id(0) // across * TY, h - TY)
    tile_x = zero + multiple(tl.minimum(tl.program_id(0) % across * (TX * Q), w - TX * Q), Q if K_VECTORS else 1)
    point = tl.arange(0, TY * TX * KN)[None, :]
    y, x_ = tile_y + point // (TX * KN), tile_x + point % (TX * KN) * (Q // KN)
    weights = kernels + image * k_b + (zero + group * (K * K * SCALE * SCALE)) * k_c + y * k_h + x_ * k_w
    if VECTORS:
        point = tl.arange(0, TY * TX * S)[None, :]
        row, column = (tile_y + point // (TX * S)) * STRIDE - K // 2, tile_x * STRIDE + point % (TX * S)
    else:  # lanes are to lie side by side: no thread is to take several points only because they could be read at once
        point = tl.arange(0, TY * TX)[None, :]
        row = (tile_y + point // TX) * STRIDE - K // 2
        column = tl.max_contiguous((tile_x + point % TX * Q) * STRIDE, (1, 1))
    corner = x + image * x_b + row * x_h + column * x_w
    for start in range(part * CHANNELS, width, parts * CHANNELS):
        channel = (group * width + start + tl.arange(0, CHANNELS)[:, None]).to(tl.int64)
        total = (tl.zeros((CHANNELS, TY * TX), tl.float32),) * (SCALE * SCALE * Q)
        for dy in range(K):
            in_row = (row + dy >= 0) & (row + dy < H)
            source = corner + channel * x_c + (zero + dy) * x_h
            window = load_window(source, in_row, column, W, x_w, -(K // 2), K + (Q - 1) * STRIDE, S, VECTORS)
            for dx in tl.static_range(K):
                for near in tl.static_range(SCALE * SCALE):
                    place = weights + (zero + ((dy * K + dx) * SCALE * SCALE + near)) * k_c
                    weight = load_points(place, k_w, Q, K_VECTORS)
                    for q in tl.static_range(Q):
                        total = with_item(
                            total, near * Q + q, total[near * Q + q] + window[q * STRIDE + dx] * weight[q]
                        )
        maps = fine + image * fine_b + channel * fine_c
        for i in tl.static_range(SCALE):
            pixels = ()
            for n in tl.static_range(N):  # as they lie side by side
                pixel = total[(i * SCALE + n % SCALE) * Q + n // SCALE]
                pixels = pixels + (pixel.to(fine.dtype.element_ty),)  # noqa: RUF005
            store_points(
                maps, pixels, tile_y * SCALE + i, tile_x * SCALE, fine_h, fine_w, SCALE, N, TY, TX, VECTORS
            )  # fmt: skip


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

INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)  # TRITON_INTERPRET=1: on the CPU as well, slowly


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


def forward(fine: Tensor, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.forward`."""
    launch = Launch(fine, x, kernels, stride, scale, groups)
    sums = 64 if x.element_size() == 4 else 128  # of a thread: 16-bit values cost an instruction more each
    columns = None if launch.by_channel else launch.columns()
    vectors = columns is not None
    if columns is not None:
        channels = max(1, min(8, sums // (columns * scale**2)))
        launch.share(channels=channels, points=32, warps=1, lanes=8, columns=columns, inside=True, split=4)
    elif launch.by_channel:
        columns = next(n for n in (4, 2, 1) if n <= kernels.shape[3] and (n == 1 or n * launch.vec * scale**2 <= sums))
        launch.share(channels=32 * launch.vec, points=4, warps=4, lanes=2, columns=columns, inside=True)
    else:
        columns = 1
        launch.share(channels=8, points=128, warps=4, inside=True)
    launch(
        forward_kernel,
        CHANNELS=launch.channels,
        VEC=launch.vec,
        Q=columns,
        VECTORS=vectors,
        K_VECTORS=together(kernels, columns),
    )


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
