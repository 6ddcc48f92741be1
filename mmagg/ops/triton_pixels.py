"""Pixels of points of a grid, read and written by Triton kernels in the vectors that memory has.

A point stands for some neighbouring pixels of a map. Tensors are [channels, points] of a tile of TY x TX points; a
thread holds all pixels of its points, one tensor each, so that what neighbours share is read once.

Shape shorthand: M channels of a program, P = TY * TX points, N pixels of a point in a row.
"""

import triton
import triton.language as tl


@triton.jit
def with_item(items, index: tl.constexpr, item):
    """A tuple with another item at ``index``."""
    return items[:index] + (item,) + items[index + 1 :]  # noqa: RUF005, Triton has no stars


@triton.jit
def multiple(step, of: tl.constexpr):
    """The same number, which is a multiple: the compiler sees it by this, and reads vectors."""
    return step // of * of


@triton.jit
def unzipped(vector, N: tl.constexpr):
    """N tensors [M, P], of neighbours in [M, P * N]; N is a power of 2. No data move between threads."""
    if N == 1:
        items = (vector,)
    else:
        even, odd = tl.split(tl.reshape(vector, (vector.shape[0], vector.shape[1] // 2, 2)))
        evens, odds = unzipped(even, N // 2), unzipped(odd, N // 2)
        items = ()
        for i in tl.static_range(N // 2):
            items = items + (evens[i], odds[i])  # noqa: RUF005
    return items


@triton.jit
def zipped(items, N: tl.constexpr):
    """[M, P * N] of N tensors [M, P], as neighbours."""
    if N == 1:
        vector = items[0]
    else:
        vector = tl.interleave(zipped(items[0::2], N // 2), zipped(items[1::2], N // 2))
    return vector


@triton.jit
def load_window(
    pointers, in_row, column, width, step,
    START: tl.constexpr, COUNT: tl.constexpr, N: tl.constexpr, VECTORS: tl.constexpr,
):  # fmt: skip
    """Neighbouring pixels of each point.

    Args:
        pointers: [M, P] to a point's first pixel; VECTORS: [M, P * N] to its N pixels, at a multiple of N in memory.
        in_row: whether the row exists; of the shape of pointers, or one that broadcasts.
        column: of the pixels that are pointed to; pixels outside (0 to width - 1) are zero.
        step: between pixels.
        START: the first pixel to read, seen from the point's first.
        COUNT: how many.

    Returns:
        COUNT tensors [M, P] in float32.
    """
    window = ()
    if VECTORS:
        for v in tl.static_range(START // N, (START + COUNT - 1) // N + 1):
            inside = in_row & (column + v * N >= 0) & (column + v * N < width)
            pixels = unzipped(tl.load(pointers + v * N, mask=inside, other=0).to(tl.float32), N)
            for i in tl.static_range(N):
                if v * N + i >= START and v * N + i < START + COUNT:
                    window = window + (pixels[i],)  # noqa: RUF005
    else:
        for i in tl.static_range(COUNT):
            inside = in_row & (column + START + i >= 0) & (column + START + i < width)
            pixel = tl.load(pointers + (START + i) * step, mask=inside, other=0).to(tl.float32)
            window = window + (pixel,)  # noqa: RUF005
    return window


@triton.jit
def load_points(pointers, step, N: tl.constexpr, VECTORS: tl.constexpr):
    """N neighbouring pixels of each point, which all exist: as `load_window` from the first on."""
    pixels = ()
    if VECTORS:
        pixels = unzipped(tl.load(pointers).to(tl.float32), N)
    else:
        for i in tl.static_range(N):
            pixels = pixels + (tl.load(pointers + i * step).to(tl.float32),)  # noqa: RUF005
    return pixels


@triton.jit
def store_points(
    maps, pixels, row, column, step_h, step_w,
    S: tl.constexpr, N: tl.constexpr, TY: tl.constexpr, TX: tl.constexpr, VECTORS: tl.constexpr,
):  # fmt: skip
    """Store N neighbouring pixels of each point, which all exist.

    Args:
        maps: [M, 1] pointers to maps with strides step_h and step_w.
        pixels: N tensors [M, P].
        row, column: of the first point's first pixel; the next point is N pixels to the right, or S below.
        VECTORS: as for `load_window`; step_w is 1.
    """
    if VECTORS:
        point = tl.arange(0, TY * TX * N)[None, :]
        tl.store(maps + (row + point // (TX * N) * S) * step_h + column + point % (TX * N), zipped(pixels, N))
    else:
        point = tl.arange(0, TY * TX)[None, :]
        for n in tl.static_range(N):
            columns = tl.max_contiguous(column + point % TX * N + n, (1, 1))
            tl.store(maps + (row + point // TX * S) * step_h + columns * step_w, pixels[n])


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
