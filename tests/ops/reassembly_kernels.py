"""The kernels of reassembly as they are started between P3 and P2 of A2-FPN: 256 channels, k = 5, up and down by 2."""

from dataclasses import dataclass

import torch
from offline_kernels import Launched, launches
from reassembly_cases import LAYOUTS
from torch import Tensor

from mmagg.ops import reassembly_triton

IMAGES, CHANNELS, K = 2, 256, 5
GRID = 100, 168  # of 800 x 1344 pixels by 8
STEPS = {'up': (1, 2), 'down': (2, 1)}  # stride, scale
KERNELS = 'forward', 'grad_x', 'grad_kernels'


@dataclass(frozen=True)
class Start:
    """A kernel of an operator.

    Attributes:
        launched: the start.
        trips: of the outermost loop, over channels, and of the one in it, over rows.
        moved: bytes that it reads and writes at least.
        products: multiply-adds that the operator takes.
    """

    launched: Launched
    trips: tuple[int, ...]
    moved: int
    products: int


def start(
    op: str, kernel: str, layout: str, dtype: torch.dtype, architecture: int, weights: torch.dtype | None = None
) -> Start:
    """Compile a kernel for an architecture (80, 90) as it is started; `weights` is the dtype of the kernels."""
    stride, scale = STEPS[op]

    def maps(*shape: int) -> Tensor:
        return torch.empty(IMAGES, *shape, dtype=dtype, device='meta', memory_format=LAYOUTS[layout])

    fine, x = (maps(CHANNELS, *(n * side for side in GRID)) for n in (scale, stride))
    kernels = torch.empty(IMAGES, K**2 * scale**2, *GRID, dtype=weights or dtype, device='meta')
    results = {'forward': (fine, x, kernels), 'grad_x': (x, fine, kernels), 'grad_kernels': (kernels, fine, x)}
    with launches(architecture) as found:
        getattr(reassembly_triton, kernel)(*results[kernel], stride, scale, 1)
    (launched,) = found
    constants, moved = launched.arguments, fine.nbytes + x.nbytes + kernels.nbytes
    channels = CHANNELS // (constants['parts'] * constants.get('CHANNELS', 1))
    reach = K // 2 // stride + (K // 2 + stride - 1) // stride  # rows of points beside a point's own that read a pixel
    trips = {'forward': (channels, K), 'grad_x': (channels, reach + constants.get('R', 1)), 'grad_kernels': (channels,)}
    if kernel == 'grad_kernels':  # each part writes a map of its own
        moved += kernels.numel() * 4 * constants['parts'] - kernels.nbytes
    return Start(launched, trips[kernel], moved, kernels.numel() * CHANNELS)
