"""Content-aware reassembly, forward, as Triton kernels: `forward_kernel` for all maps, and one for tensor cores.

A multiply-add of 16-bit maps takes as long as one of float32, but their memory half as long: upsampling is bound by
arithmetic. `forward_product_kernel` makes it products of matrices, whose sums are in float32, too. They multiply all
pixels of a neighbourhood by all weights of its points, most of them zero: a pixel that is not finite makes NaN of all
results nearby, not of those alone whose taps reach it.

Names and shapes are those of `reassembly_triton`.
"""

from math import gcd

import torch
from torch import Tensor

from mmagg.ops.reassembly_launch import Launch, together
from mmagg.ops.triton_pixels import (
    appended,
    load_points,
    load_window,
    multiple,
    store_points,
    tl,
    triton,
    with_item,
)

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
                pixels = appended(pixels, pixel.to(fine.dtype.element_ty))
            store_points(
                maps, pixels, tile_y * SCALE + i, tile_x * SCALE, fine_h, fine_w, SCALE, N, TY, TX, VECTORS
            )  # fmt: skip


@compiled
def forward_product_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    CHANNELS: tl.constexpr, VEC: tl.constexpr, WIDE: tl.constexpr,
    LEAD: tl.constexpr, COLUMNS: tl.constexpr, VECTORS: tl.constexpr, SPLIT: tl.constexpr,
    BARE: tl.constexpr,
):  # fmt: skip
    """Program (TX points of a row, group and part of its channels, image). Points lie inside the grid, as tiles above.

    Row by row, COLUMNS pixels of x, of which LEAD lie before the first point, are multiplied by the weights of all
    points, which are zero where a tap does not reach. SPLIT weights are two numbers of 16 bits: a product each.
    BARE: products in float32, for Triton's interpreter, which takes the bits of a bfloat16 for an integer.
    """
    NEAR: tl.constexpr = SCALE * TX  # pixels of the fine map in a row
    V: tl.constexpr = SCALE * LEAD
    if VEC > 1:
        x_b, x_h, x_w, width = multiple(x_b, VEC), multiple(x_h, VEC), multiple(x_w, VEC), multiple(width, VEC)
        fine_b, fine_h, fine_w = multiple(fine_b, VEC), multiple(fine_h, VEC), multiple(fine_w, VEC)
    elif VECTORS:
        x_b, x_c, x_h, W = multiple(x_b, LEAD), multiple(x_c, LEAD), multiple(x_h, LEAD), multiple(W, LEAD)
        fine_b, fine_c, fine_h = multiple(fine_b, V), multiple(fine_c, V), multiple(fine_h, V)
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    zero = image * 0 if WIDE else tl.program_id(2) * 0  # of the type of offsets
    across = tl.cdiv(w, TX)
    y = zero + tl.program_id(0) // across
    x_ = zero + multiple(tl.minimum(tl.program_id(0) % across * TX, w - TX), LEAD if VECTORS else 1)
    result, pixel = tl.arange(0, SCALE * NEAR), tl.arange(0, COLUMNS)
    i, q, j = result // NEAR, result // SCALE % TX, result % SCALE
    dx = pixel[None, :] - LEAD + K // 2 - q[:, None]
    reached = (dx >= 0) & (dx < K)
    weights = kernels + image * k_b + (zero + group * (K * K * SCALE * SCALE)) * k_c + y * k_h
    weights += (zero + dx * (SCALE * SCALE) + (i * SCALE + j)[:, None]) * k_c + (x_ + q)[:, None] * k_w
    column = x_ + pixel - LEAD
    inside = (column >= 0) & (column < W)
    corner = x + image * x_b + (y - K // 2) * x_h + (column * x_w)[:, None]
    maps = fine + image * fine_b + ((y * SCALE + i) * fine_h + (x_ * SCALE + result % NEAR) * fine_w)[:, None]
    for start in range(part * CHANNELS, width, parts * CHANNELS):
        channel = (group * width + start + tl.arange(0, CHANNELS)[None, :]).to(tl.int64)
        total = tl.zeros((SCALE * NEAR, CHANNELS), tl.float32)
        for dy in range(K):
            exists = inside & (y + dy - K // 2 >= 0) & (y + dy - K // 2 < H)
            value = tl.load(corner + channel * x_c + (zero + dy) * x_h, mask=exists[:, None], other=0)
            weight = tl.load(weights + (zero + dy * (K * SCALE * SCALE)) * k_c, mask=reached, other=0)
            high = weight.to(x.dtype.element_ty)
            low = (weight - high.to(tl.float32)).to(x.dtype.element_ty)
            if BARE:
                value, high, low = value.to(tl.float32), high.to(tl.float32), low.to(tl.float32)
            total = tl.dot(high, value, total)
            if SPLIT:
                total = tl.dot(low, value, total)
        tl.store(maps + channel * fine_c, total.to(fine.dtype.element_ty))


# Launching

INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)  # TRITON_INTERPRET=1: on the CPU as well, slowly
LEAD, COLUMNS, POINTS = 4, 16, 8  # of a product: pixels before the first point, of all points, and these
FEWEST = 16  # channels of a product


def forward(fine: Tensor, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.forward`."""
    launch = Launch(fine, x, kernels, stride, scale, groups)
    if product_fits(launch):
        launch.share(channels=128, points=POINTS, warps=4, lanes=(POINTS,), inside=True)
        launch(
            forward_product_kernel,
            CHANNELS=launch.channels,
            VEC=launch.vec,
            LEAD=LEAD,
            COLUMNS=COLUMNS,
            VECTORS=together(x, LEAD) and together(fine, scale * LEAD),
            SPLIT=kernels.dtype != x.dtype,
            BARE=INTERPRETED and x.dtype == torch.bfloat16,
            num_stages=2,
        )
        return
    sums = 64 if x.element_size() == 4 else 128  # of a thread: 16-bit values cost an instruction more each
    columns = None if launch.by_channel else launch.columns()
    vectors = columns is not None
    if columns is not None:
        channels = max(1, min(8, sums // (columns * scale**2)))
        launch.share(channels=channels, points=32, warps=1, lanes=(8, 4), columns=columns, inside=True, split=4)
    elif launch.by_channel:
        columns = next(n for n in (4, 2, 1) if n <= kernels.shape[3] and (n == 1 or n * launch.vec * scale**2 <= sums))
        launch.share(channels=32 * launch.vec, points=4, warps=4, lanes=(2,), columns=columns, inside=True)
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


def product_fits(launch: Launch) -> bool:
    """True if forward is a product of matrices: 16-bit maps, upsampled, of enough channels and points."""
    reach, x = launch.k // 2, launch.x
    return (
        x.element_size() == 2
        and launch.stride == 1
        and launch.scale in (2, 4)
        and reach <= LEAD
        and LEAD + POINTS + reach <= COLUMNS
        and launch.kernels.shape[3] >= POINTS
        and gcd(launch.width, 128) >= FEWEST
        and (not x.is_cuda or torch.cuda.get_device_capability(x.device) >= (8, 0))  # the first with bfloat16
    )
