"""A layer of small conv nets, each with the weights of its instance, as a Triton kernel: see `dynamic_conv_layers`.

A program has an instance and a tile of pixels: 32 columns, and some rows of each of its threads, which share what they
read. All outputs of the tile are sums in registers, in float32, which start with the bias.

Shape shorthand: N instances, P dynamic parameters of each, K own inputs of each, S shared inputs, O outputs, (H, W) map
size, k kernel side. Tensors of the Triton code are [pixels]: a pixel of each thread.
"""

import torch
from torch import Tensor

from mmagg.ops.reassembly_launch import LARGEST, power_of_2
from mmagg.ops.triton_pixels import appended, tl, triton, with_item

COLUMNS = 32  # of a tile: a warp reads them at once
WARPS = 4  # of a program, at most
ROWS = 8  # of a thread, at most
SUMS, REGISTERS = 32, 160  # of a thread, at most: sums, and sums and pixels

# Sizes differ from image to image: kernels are not to be compiled anew for them. A stride is 1 or it is not.
SIZES = ['maps_c', 'maps_h', 'shared_c', 'shared_h', 'values_n', 'H', 'W']
STRIDES = ['maps_w', 'shared_w', 'values_p']


@triton.jit
def with_channel(
    total, pointers, row, column, H, W, step_h, step_w, weights, step, between,
    OUTPUTS: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """OUTPUTS * ROWS sums, with an input's share added.

    Args:
        total: the sums.
        pointers: to each thread's first pixel, at `row` and `column`, in a map (H, W) with strides step_h and step_w.
        weights: pointer to the input's weights of the first output; those of the next are `between` further on.
        step: between weights.
    """
    HALF: tl.constexpr = SIZE // 2
    window = ()
    for r in tl.static_range(ROWS + SIZE - 1):
        for d in tl.static_range(SIZE):
            inside = (row + (r - HALF) >= 0) & (row + (r - HALF) < H)
            inside = inside & (column + (d - HALF) >= 0) & (column + (d - HALF) < W)
            place = pointers + (r - HALF) * step_h + (d - HALF) * step_w
            window = appended(window, tl.load(place, mask=inside, other=0).to(tl.float32))
    for o in tl.static_range(OUTPUTS):
        for tap in tl.static_range(SIZE * SIZE):
            weight = tl.load(weights + o * between + tap * step).to(tl.float32)
            for r in tl.static_range(ROWS):
                pixel = window[(r + tap // SIZE) * SIZE + tap % SIZE]
                total = with_item(total, o * ROWS + r, total[o * ROWS + r] + pixel * weight)
    return total


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=STRIDES)
def layer_kernel(
    out, maps, index, shared, values, maps_c, maps_h, maps_w, shared_c, shared_h, shared_w, values_n, values_p, H, W,
    K: tl.constexpr, S: tl.constexpr, OUTPUTS: tl.constexpr, SIZE: tl.constexpr, FIRST: tl.constexpr,
    RELU: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr, WARPS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """out (N, OUTPUTS, H, W), from the maps that `index` (N, K) names, else K of each instance, and the shared ones.

    The layer's are those from FIRST on of an instance's parameters `values` (N, P). WIDE: offsets within a map are of
    64 bits.
    """
    across, down = tl.cdiv(W, COLUMNS), tl.cdiv(H, ROWS * WARPS)
    tile = tl.program_id(0) % (across * down)
    instance = (tl.program_id(0) // (across * down)).to(tl.int64)
    zero = instance * 0 if WIDE else tile * 0  # of the type of offsets
    thread = tl.arange(0, COLUMNS * WARPS)
    row = zero + (tile // across * WARPS + thread // COLUMNS) * ROWS
    column = zero + tile % across * COLUMNS + thread % COLUMNS
    weights = values + instance * values_n + FIRST * values_p
    total = ()
    for o in tl.static_range(OUTPUTS):
        bias = tl.load(weights + (OUTPUTS * (K + S) * SIZE * SIZE + o) * values_p).to(tl.float32)
        for _ in tl.static_range(ROWS):
            total = appended(total, tl.zeros((COLUMNS * WARPS,), tl.float32) + bias)
    between = (K + S) * SIZE * SIZE * values_p
    offset = row * maps_h + column * maps_w
    for c in range(K):
        place = instance * K + c
        if index is not None:
            place = tl.load(index + place).to(tl.int64)
        total = with_channel(
            total, maps + place * maps_c + offset, row, column, H, W, maps_h, maps_w,
            weights + c * SIZE * SIZE * values_p, values_p, between, OUTPUTS, SIZE, ROWS,
        )  # fmt: skip
    offset = row * shared_h + column * shared_w
    for c in range(S):
        total = with_channel(
            total, shared + (instance * 0 + c) * shared_c + offset, row, column, H, W, shared_h, shared_w,
            weights + (K + c) * SIZE * SIZE * values_p, values_p, between, OUTPUTS, SIZE, ROWS,
        )  # fmt: skip
    for o in tl.static_range(OUTPUTS):
        for r in tl.static_range(ROWS):
            result = total[o * ROWS + r]
            if RELU:
                result = tl.where(result < 0, 0.0, result)  # as PyTorch's, of NaN it is NaN
            pointers = out + (instance * OUTPUTS + o) * H * W + (row + r) * W + column
            tl.store(pointers, result.to(out.dtype.element_ty), mask=(row + r < H) & (column < W))


INTERPRETED = not isinstance(layer_kernel, triton.JITFunction)  # TRITON_INTERPRET=1: on the CPU as well, slowly


def layer(
    out: Tensor, maps: Tensor, index: Tensor | None, shared: Tensor, params: Tensor, first: int, size: int, relu: bool
) -> None:
    """Fill `out` (N, O, H, W), which is contiguous; arguments as of `dynamic_conv_layers.layer_in_torch`."""
    n, outputs, height, width = out.shape
    k = len(maps) // n if index is None else index.shape[1]
    rows = rows_of_a_thread(outputs, size, height)
    warps = min(WARPS, power_of_2(height / rows, round_up=True))
    tiles = triton.cdiv(width, COLUMNS) * triton.cdiv(height, rows * warps)
    with torch.cuda.device_of(out):
        layer_kernel[(n * tiles,)](
            out,
            maps,
            None if index is None else index.contiguous(),
            shared,
            params,
            *maps.stride(),
            *shared.stride(),
            *params.stride(),
            height,
            width,
            K=k,
            S=len(shared),
            OUTPUTS=outputs,
            SIZE=size,
            FIRST=first,
            RELU=relu,
            COLUMNS=COLUMNS,
            ROWS=rows,
            WARPS=warps,
            WIDE=max(map(reach, (maps, shared, out[0]))) > LARGEST,
            num_warps=warps,
            enable_fp_fusion=True,
        )


def rows_of_a_thread(outputs: int, size: int, height: int) -> int:
    """A power of 2: as many rows as registers hold, and as there are."""
    rows = min(ROWS, power_of_2(height, round_up=True))
    while rows > 1 and (rows * outputs > SUMS or rows * outputs + (rows + size - 1) * size > REGISTERS):
        rows //= 2
    return rows


def reach(maps: Tensor) -> int:
    """The largest offset within a map of (C, H, W), with the rows that tiles stick out."""
    return sum(
        (side + ROWS * WARPS + COLUMNS) * abs(step)
        for side, step in zip(maps.shape[1:], maps.stride()[1:], strict=True)
    )
