"""The division of a reassembly's work over programs of a GPU.

A program has a tile of points of the grid of kernels and some channels at a time. What its threads read at once follows
from the memory: neighbours in a row, or channels where maps are channels_last, up to 16 bytes of them.

Offsets within an image are of 32 bits, and of 64 where its first and last element are 2**31 or more apart: with 256
channels, from maps of 2897 x 2897 pixels on; the 100 weights of a point (k = 5, scale 2), from 4635 x 4635 points on.
"""

from math import ceil, gcd, isqrt
from typing import Any

import torch
from torch import Tensor

PROGRAMS = 2048  # fill a large GPU; where there are fewer tiles, channels are split
LARGEST = 2**31 - 1  # offset of 32 bits
BYTES = 16  # that a thread reads at once, at most


class Launch:
    """A start of a kernel.

    Args:
        fine: (B, C, scale*h, scale*w), the fine map or its gradient.
        x: (B, C, H, W), x or its gradient.
        kernels: (B, g * k*k * scale*scale, h, w), the kernels or their gradient.
        stride, scale, groups: as for `reassembly_torch.forward`.

    Attributes:
        k: side of the kernels.
        width: channels of a group.
        vec: channels that lie at a multiple of themselves in both maps, as far as they can be read at once; 1 where the
            maps are not channels_last.
        by_channel: whether lanes are to be channels.
        parts: programs that share the channels of a group; known after `share`.
    """

    def __init__(self, fine: Tensor, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
        self.fine, self.x, self.kernels = fine, x, kernels
        self.stride, self.scale, self.groups = stride, scale, groups
        self.k = isqrt(kernels.shape[1] // (groups * scale**2))
        self.width = x.shape[1] // groups
        self.by_channel = x.stride(1) == fine.stride(1) == 1 and x.shape[1] > 1
        steps = [step for t in (x, fine) for step in (t.stride(0), *t.stride()[2:])]
        self.vec = gcd(BYTES // x.element_size(), self.width, *steps) if self.by_channel else 1

    @property
    def wide(self) -> bool:
        """True if offsets take 64 bits."""
        reach = (
            sum((n - 1) * abs(step) for n, step in zip(t.shape[1:], t.stride()[1:], strict=True))
            for t in (self.fine, self.x, self.kernels)
        )
        return max(reach) > LARGEST

    def columns(self) -> int | None:
        """Points of a row that a thread can take, as their pixels lie together in each map; None if there are none."""
        if not self.x.stride(3) == self.fine.stride(3) == 1:
            return None
        most = max(1, BYTES // self.x.element_size() // max(self.stride, self.scale))
        fitting = (
            n
            for n in (8, 4, 2, 1)
            if n <= most
            and together(self.x, n * self.stride)
            and together(self.fine, n * self.scale)
            and together(self.kernels, n)
        )
        return next(fitting, None)

    def share(
        self, *, channels: int, points: int, warps: int, lanes: int = 32, rows: int = 1, columns: int = 1,
        inside: bool = False, split: int = 1,
    ) -> None:  # fmt: skip
        """Choose tiles.

        Args:
            channels: of a program at a time, at most; it takes a power of 2 that divides those of a group.
            points: of a tile, as its threads see them.
            warps: of a program.
            lanes: points side by side, at most.
            rows, columns: of points that a thread takes.
            inside: whether tiles must not stick out of the grid, which is at least `rows` by `columns`.
            split: so many times `PROGRAMS` are wanted.
        """
        h, w = self.kernels.shape[2:]
        self.channels, self.warps = gcd(self.width, channels), warps
        most = min(lanes, points, power_of_2(w / columns, round_up=not inside))
        tiles = {}
        for tx in {most, max(1, most // 2)} if inside else {most}:
            ty = min(points // tx, power_of_2(h / rows, round_up=False)) if inside else points // tx
            tiles[tx, ty] = ceil(h / (ty * rows)) * ceil(w / (tx * columns))
        self.tx, self.ty = min(sorted(tiles, reverse=True), key=tiles.__getitem__)  # what overlaps is computed twice
        self.tiles = tiles[self.tx, self.ty]
        wanted = power_of_2(split * PROGRAMS / (self.tiles * self.groups * len(self.x)), round_up=True)
        self.parts = min(self.width // self.channels, wanted)

    def __call__(self, kernel: Any, **constants: Any) -> None:
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
                WIDE=self.wide,
                num_warps=self.warps,
                enable_fp_fusion=True,
                **constants,
            )


def power_of_2(n: float, *, round_up: bool) -> int:
    """The next power of 2, or the one before; at least 1."""
    return 1 << ((ceil(n) - 1).bit_length() if round_up else int(n).bit_length() - 1)


def together(maps: Tensor, pixels: int) -> bool:
    """True if so many pixels of a row are neighbours in memory, at a multiple of their number: a power of 2."""
    sizes = maps.shape[3], *maps.stride()[:3]
    return maps.stride(3) == 1 and pixels.bit_count() == 1 and not any(size % pixels for size in sizes)
