"""Vectors of pixels in Triton kernels: what a thread reads and writes at once is one access, and comes as it lies."""

import re

import pytest
import torch

pytest.importorskip('triton', minversion='3.4')
import triton
import triton.language as tl
from offline_kernels import Launched, launches

from mmagg.ops.triton_pixels import load_points, load_window, multiple, store_points


@triton.jit(do_not_specialize=['width', 'step'])
def moved_right(out, x, width, step, N: tl.constexpr, VECTORS: tl.constexpr):
    """A row of 32 points of N pixels, each of which takes the pixel before it; and zero."""
    if VECTORS:
        width, step = multiple(width, N), multiple(step, N)
    point = tl.arange(0, 32 * N if VECTORS else 32)[None, :]
    column = point if VECTORS else point * N
    row = x + tl.program_id(0) * step
    window = load_window(row + column, width > 0, column, width, 1, -1, N, N, VECTORS)
    same = load_points(row + column, 1, N, VECTORS)
    pixels = ()
    for n in tl.static_range(N):
        pixels = pixels + (window[n] + 0 * same[n],)  # noqa: RUF005
    store_points(out + tl.program_id(0) * step, pixels, 0, 0, step, 1, 1, N, 1, 32, VECTORS)


def accesses(launched: Launched) -> dict[str, int]:
    """Bits read at once, and written."""
    found: dict[str, int] = {}
    for line in launched.instructions:
        access = re.search(r'\b(LDG|STG)\.E(?:\.(64|128))?\b', line)
        if access:
            found[access[1]] = max(found.get(access[1], 0), int(access[2] or 32))
    return found


@pytest.mark.parametrize('vectors', [False, True])
def test_a_thread_reads_and_writes_its_pixels_at_once(vectors: bool) -> None:
    x = torch.empty(4, 128, device='meta')
    with launches(90) as found:
        moved_right[(4,)](x, x, 128, 128, N=4, VECTORS=vectors, num_warps=1)
    (launched,) = found
    if vectors:
        assert accesses(launched) == {'LDG': 128, 'STG': 128}
        assert launched.resources['SHARED'] == 0  # nothing moves between threads
    else:
        assert accesses(launched)['LDG'] == 32
