"""Content-aware reassembly as fused Triton kernels: forward, and backward for the features and for the kernels.

The map is that of `reassembly`, with its output called `fine`. A point (y, x) of the grid of kernels stands for
scale x scale pixels (i, j) of the fine map and for stride x stride pixels (p, q) of x. Every program has a tile of
points, whose kernels it reads once for several channels; nothing is padded, unfolded or shuffled. Each result is summed
by one thread, in float32 and always in the same order.

Shape shorthand: B images, C channels, k kernel side, (H, W) size of x, (h, w) size of the grid of kernels. Tensors of
the Triton code are [channels or taps, points] of a tile of TY x TX points.
"""

from functools import cache
from math import gcd, isqrt

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError('the kernels for GPUs need Triton: pip install triton') from error
if tuple(map(int, triton.__version__.split('.')[:2])) < (3, 4):
    raise ImportError(f'the kernels for GPUs need Triton 3.4 (of PyTorch 2.8) or newer, not {triton.__version__}')

# Sizes differ from image to image: kernels are not to be compiled anew for them. A stride is 1 or it is not.
SIZES = ['fine_b', 'fine_h', 'x_b', 'x_h', 'k_b', 'k_h', 'k_part', 'H', 'W', 'h', 'w', 'width', 'parts']
STRIDES = ['fine_c', 'fine_w', 'x_c', 'x_w', 'k_c', 'k_w']
compiled = triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=STRIDES)


@triton.jit
def with_item(items, index: tl.constexpr, item):
    """A tuple with another item at ``index``."""
    return items[:index] + (item,) + items[index + 1 :]  # noqa: RUF005, Triton has no stars


@triton.jit
def store_row(
    maps, pixels, row, column, height, width, step_h, step_w,
    S: tl.constexpr, R: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
):  # fmt: skip
    """Store S neighbouring pixels of each point.

    Args:
        maps: [N, 1] pointers to maps (height, width) with strides step_h and step_w.
        pixels: S tensors [N, TY * TX].
        row, column: of the first point's first pixel; the next point is S pixels to the right, or S * R below.
    """
    if S == 2:  # as the row lies in memory; one pixel of each point at a time would fill sectors by half
        point = tl.arange(0, TY * TX * 2)[None, :]
        rows = row + point // (TX * 2) * (R * 2)
        columns = tl.max_contiguous(column + point % (TX * 2), (1, 1))
        inside = (rows < height) & (columns < width)
        tl.store(maps + rows * step_h + columns * step_w, tl.interleave(pixels[0], pixels[1]), mask=inside)
    else:
        point = tl.arange(0, TY * TX)[None, :]
        rows = row + point // TX * (R * S)
        for q in tl.static_range(S):
            columns = tl.max_contiguous(column + point % TX * S + q, (1, 1))
            inside = (rows < height) & (columns < width)
            tl.store(maps + rows * step_h + columns * step_w, pixels[q], mask=inside)


@compiled
def forward_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Program (tile, group and part of its channels, image)."""
    tile_y, tile_x = tl.program_id(0) // tl.cdiv(w, TX) * TY, tl.program_id(0) % tl.cdiv(w, TX) * TX
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    point = tl.arange(0, TY * TX)[None, :]
    # Lanes are to lie side by side: no thread is to take several points only because they could be read at once.
    y, x_ = tile_y + point // TX, tl.max_contiguous(tile_x + point % TX, (1, 1))
    on_grid = (y < h) & (x_ < w)
    weights = kernels + image * k_b + group * (K * K * SCALE * SCALE) * k_c + y * k_h + x_ * k_w
    row, column = y * STRIDE - K // 2, x_ * STRIDE - K // 2
    corner = x + image * x_b + row * x_h + column.to(tl.int64) * x_w
    for start in range(part * CHANNELS, width, parts * CHANNELS):
        channel = (group * width + start + tl.arange(0, CHANNELS)[:, None]).to(tl.int64)
        source, tap = corner + channel * x_c, weights
        total = (tl.zeros((CHANNELS, TY * TX), tl.float32),) * (SCALE * SCALE)
        for dy in range(K):
            in_row = on_grid & (row + dy >= 0) & (row + dy < H)
            for dx in tl.static_range(K):
                inside = in_row & (column + dx >= 0) & (column + dx < W)
                value = tl.load(source + dx * x_w, mask=inside, other=0).to(tl.float32)
                for near in tl.static_range(SCALE * SCALE):
                    weight = tl.load(tap + (dx * SCALE * SCALE + near) * k_c, mask=inside, other=0).to(tl.float32)
                    total = with_item(total, near, total[near] + value * weight)
            source += x_h
            tap += K * SCALE * SCALE * k_c
        maps = fine + image * fine_b + channel * fine_c
        for i in tl.static_range(SCALE):
            store_row(
                maps, total[i * SCALE : (i + 1) * SCALE], tile_y * SCALE + i, tile_x * SCALE, h * SCALE, w * SCALE,
                fine_h, fine_w, SCALE, 1, TY, TX,
            )  # fmt: skip


@triton.jit
def row_of(
    maps, tile_y, tile_x, step_h, step_w,
    S: tl.constexpr, R: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr, PAIRED: tl.constexpr,
):  # fmt: skip
    """Pointers to the first row of pixels of each point in a map, for `load_row`.

    Args:
        maps: pointer to the map, of S x S pixels per point.
        tile_y, tile_x: the tile's first point; the next one is one to the right, or R below.
        PAIRED: S is 2, and the pixels of a point are neighbours in memory, at a place that is a multiple of 2.

    Returns:
        pointers, rows and columns of the points, [1, P] each; PAIRED: [1, 2 * P], for each pixel.
    """
    if PAIRED:
        point = tl.arange(0, TY * TX * 2)[None, :]
        y, x = tile_y + point // (TX * 2) * R, tile_x + point // 2 % TX
        pointers = maps + y * S * step_h + (tile_x * 2 + point % (TX * 2))
    else:
        point = tl.arange(0, TY * TX)[None, :]
        y, x = tile_y + point // TX * R, tl.max_contiguous(tile_x + point % TX, (1, 1))
        pointers = maps + y * S * step_h + x * S * step_w
    return pointers, y, x


@triton.jit
def load_row(pointers, inside, step, shift: tl.constexpr, S: tl.constexpr, PAIRED: tl.constexpr):
    """S neighbouring pixels of each point, in float32.

    Args:
        pointers: [N, P] to the first of them; PAIRED: [N, 2 * P] to both.
        inside: of the same shape, whether to read; zero elsewhere.
        step: between pixels.
        shift: read so many points further right.

    Returns:
        S tensors [N, P].
    """
    if PAIRED:
        pairs = tl.load(pointers + shift * 2, mask=inside, other=0).to(tl.float32)
        pixels = tl.split(tl.reshape(pairs, (pairs.shape[0], pairs.shape[1] // 2, 2)))
    else:
        pixels = ()
        for q in tl.static_range(S):
            pixel = tl.load(pointers + (shift * S + q) * step, mask=inside, other=0).to(tl.float32)
            pixels = pixels + (pixel,)  # noqa: RUF005
    return pixels


@compiled
def grad_x_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    CHANNELS: tl.constexpr, R: tl.constexpr, PAIRED: tl.constexpr,
):  # fmt: skip
    """Gradient for x, stored there, from that of the fine map. Program (tile, group and part of its channels, image).

    A point collects from the points (y + e, x + f) whose taps reach it; R rows at once share what they read.
    """
    HALF: tl.constexpr = K // 2
    LEFT: tl.constexpr = HALF // STRIDE  # points that read this one lie so many to the left, or less
    RIGHT: tl.constexpr = (HALF + STRIDE - 1) // STRIDE
    tile_y, tile_x = tl.program_id(0) // tl.cdiv(w, TX) * TY * R, tl.program_id(0) % tl.cdiv(w, TX) * TX
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    point = tl.arange(0, TY * TX)[None, :]
    y, x_ = tile_y + point // TX * R, tl.max_contiguous(tile_x + point % TX, (1, 1))
    weights = kernels + image * k_b + group * (K * K * SCALE * SCALE) * k_c + y * k_h + x_ * k_w
    if PAIRED:  # which the compiler sees by this
        fine_b, fine_c, fine_h = fine_b // 2 * 2, fine_c // 2 * 2, fine_h // 2 * 2
    corner, wide_y, wide_x = row_of(
        fine + image * fine_b, tile_y, tile_x, fine_h, fine_w, SCALE, R, TY, TX, PAIRED
    )  # fmt: skip
    for start in range(part * CHANNELS, width, parts * CHANNELS):
        channel = (group * width + start + tl.arange(0, CHANNELS)[:, None]).to(tl.int64)
        total = (tl.zeros((CHANNELS, TY * TX), tl.float32),) * (R * STRIDE * STRIDE)
        for e in range(-LEFT, R + RIGHT):
            for f in tl.static_range(LEFT + RIGHT + 1):
                on_grid = (y + e >= 0) & (y + e < h) & (x_ + f - LEFT >= 0) & (x_ + f - LEFT < w)
                inside = (wide_y + e >= 0) & (wide_y + e < h) & (wide_x + f - LEFT >= 0) & (wide_x + f - LEFT < w)
                for i in tl.static_range(SCALE):
                    source = corner + channel * fine_c + (e * SCALE + i) * fine_h
                    pixels = load_row(source, inside, fine_w, f - LEFT, SCALE, PAIRED)
                    for r in tl.static_range(R):
                        for p in tl.static_range(STRIDE):
                            # Row of the kernel; the interpreter would make a number of another type of a variable.
                            exists = on_grid & ((r - e) * STRIDE + p + HALF >= 0) & ((r - e) * STRIDE + p + HALF < K)
                            for q in tl.static_range(STRIDE):
                                if (LEFT - f) * STRIDE + q + HALF >= 0 and (LEFT - f) * STRIDE + q + HALF < K:
                                    tap = ((r - e) * STRIDE + p + HALF) * K + (LEFT - f) * STRIDE + q + HALF
                                    for j in tl.static_range(SCALE):
                                        place = (tap * SCALE * SCALE + i * SCALE + j) * k_c + e * k_h + (f - LEFT) * k_w
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
                    (tile_y + r) * STRIDE + p, tile_x * STRIDE, H, W, x_h, x_w, STRIDE, R, TY, TX,
                )  # fmt: skip


@compiled
def grad_kernels_kernel(
    fine, x, kernels, fine_b, fine_c, fine_h, fine_w, x_b, x_c, x_h, x_w, k_b, k_c, k_h, k_w, H, W, h, w, width, parts,
    k_part,
    K: tl.constexpr, STRIDE: tl.constexpr, SCALE: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr,
    TAPS: tl.constexpr, PAIRED: tl.constexpr,
):  # fmt: skip
    """Gradient for the kernels, stored there, a map per part, from that of the fine map.

    Program (tile, group and part of its channels, image).
    """
    tile_y, tile_x = tl.program_id(0) // tl.cdiv(w, TX) * TY, tl.program_id(0) % tl.cdiv(w, TX) * TX
    group, part = tl.program_id(1) // parts, tl.program_id(1) % parts
    image = tl.program_id(2).to(tl.int64)
    point = tl.arange(0, TY * TX)[None, :]
    y, x_ = tile_y + point // TX, tl.max_contiguous(tile_x + point % TX, (1, 1))
    tap = tl.arange(0, TAPS)[:, None]
    row, column = y * STRIDE + tap // K - K // 2, x_ * STRIDE + tap % K - K // 2
    reached = (tap < K * K) & (row >= 0) & (row < H) & (column >= 0) & (column < W)
    source = x + image * x_b + row * x_h + column.to(tl.int64) * x_w
    if PAIRED:  # which the compiler sees by this
        fine_b, fine_c, fine_h = fine_b // 2 * 2, fine_c // 2 * 2, fine_h // 2 * 2
    coming, wide_y, wide_x = row_of(
        fine + image * fine_b, tile_y, tile_x, fine_h, fine_w, SCALE, 1, TY, TX, PAIRED
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
    weights = kernels + part * k_part + image * k_b + group * (K * K * SCALE * SCALE) * k_c + y * k_h + x_ * k_w
    for near in tl.static_range(SCALE * SCALE):
        stored = (tap < K * K) & (y < h) & (x_ < w)
        tl.store(weights + (tap * SCALE * SCALE + near) * k_c, total[near], mask=stored)


# Launching

INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)  # TRITON_INTERPRET=1: on the CPU as well, slowly
PROGRAMS = 2048  # fill a large GPU; where there are fewer tiles, channels are split


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
    launch(forward_kernel, CHANNELS=launch.channels)


def grad_x(out: Tensor, grad: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.grad_x`."""
    rows = 2 if stride == 1 else 1  # with a stride, the registers are full of its pixels
    launch = Launch(grad, out, kernels, stride, scale, groups, rows=rows)
    launch(grad_x_kernel, CHANNELS=launch.channels, R=rows, PAIRED=paired(grad, scale))


def grad_kernels(out: Tensor, grad: Tensor, x: Tensor, stride: int, scale: int, groups: int) -> None:
    """As `reassembly_torch.grad_kernels`."""
    grad, x = grad.contiguous(), x.contiguous()  # a thread has one channel of a point: points are to be neighbours
    launch = Launch(grad, x, out, stride, scale, groups, by_point=True)
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


class Launch:
    """The distribution of the work over programs.

    Args:
        fine: (B, C, scale*h, scale*w), the fine map or its gradient.
        x: (B, C, H, W), x or its gradient.
        kernels: (B, g * k*k * scale*scale, h, w), the kernels or their gradient.
        stride, scale, groups: as for `forward`.
        rows: of points that a thread takes at once.
        by_point: whether a thread takes one channel at a time, else several.

    Attributes:
        channels: at once; a power of 2 that divides those of a group.
        parts: programs that share the channels of a group.
        k: side of the kernels.
    """

    def __init__(
        self, fine: Tensor, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int,
        *, rows: int = 1, by_point: bool = False,
    ) -> None:  # fmt: skip
        self.fine, self.x, self.kernels = fine, x, kernels
        self.stride, self.scale, self.groups = stride, scale, groups
        self.k = isqrt(kernels.shape[1] // (groups * scale**2))
        self.width, (h, w) = x.shape[1] // groups, kernels.shape[2:]
        if by_point:
            points, most, self.num_warps = 32, 1, 1
        elif x.stride(1) == 1 and x.shape[1] > 1:  # lanes are channels
            points, most, self.num_warps = 8, 128, 4
        else:
            points, most, self.num_warps = 128, 8, 4
        self.channels = gcd(self.width, most)
        self.tx = min(32, points, triton.next_power_of_2(w))
        self.ty = points // self.tx
        self.tiles = triton.cdiv(h, self.ty * rows) * triton.cdiv(w, self.tx)
        wanted = triton.next_power_of_2(triton.cdiv(PROGRAMS, self.tiles * groups * len(x)))
        self.parts = min(self.width // self.channels, wanted)

    def __call__(self, kernel, **constants) -> None:
        """Start a kernel."""
        maps = self.fine, self.x, self.kernels
        with torch.cuda.device_of(self.x):
            kernel[(self.tiles, self.groups * self.parts, len(self.x))](
                *maps,
                *(step for tensor in maps for step in tensor.stride()),
                *self.x.shape[2:],
                *self.kernels.shape[2:],
                self.width,
                self.parts,
                K=self.k,
                STRIDE=self.stride,
                SCALE=self.scale,
                TY=self.ty,
                TX=self.tx,
                num_warps=self.num_warps,
                enable_fp_fusion=True,
                **constants,
            )


def paired(fine: Tensor, scale: int) -> bool:
    """True if both pixels of a row of a point can be read at once."""
    return scale == 2 and fine.stride(3) == 1 and all(step % 2 == 0 for step in fine.stride()[:3])
