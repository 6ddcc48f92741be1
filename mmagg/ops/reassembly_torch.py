"""Content-aware reassembly in plain PyTorch: a loop over the kernels' taps, in blocks that stay in the caches.

The map is that of `reassembly`, with its output called `fine`. Nothing is padded, unfolded or shuffled: a map of which
every s-th pixel is needed is split into its s x s phases, so that neighbours in the grid of kernels are neighbours in
memory. Phases are copies, of a few channels at a time, of contiguous maps, and views of channels_last ones.

Shape shorthand: B images, C channels, k kernel side, g groups, (H, W) size of x, (h, w) size of the grid of kernels.
"""

from collections.abc import Iterator
from functools import reduce
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

# Elements of a block, of all its maps together: what the caches of a CPU's core hold, and what fills a GPU.
CPU_BLOCK, GPU_BLOCK = 2**21, 2**25

Phase = tuple[int, int]
Index = tuple[int | slice, ...]


def forward(fine: Tensor, x: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """Reassemble.

    Args:
        fine: (B, C, scale*h, scale*w), is filled.
        x: (B, C, H, W).
        kernels: (B, g * k*k * scale*scale, h, w).
        stride, scale, groups: one of stride and scale is usually 1.
    """
    work = Work(x, fine, kernels, stride, scale, groups)
    weights = work.weights(kernels)
    sources, targets = Phases(x, stride, work), Phases(fine, scale, work)
    for block, terms in work.blocks():
        source, target = sources.read(block), targets.blank(block)
        for term in terms:
            total, value = target[term.near][term.points], source[term.phase][term.pixels]
            weight = weights[block.image, block.group][term.weights]
            if term.central:  # the first, and it reaches everything
                torch.mul(value, weight, out=total)
            else:
                total.addcmul_(value, weight)
        targets.write(block, target)


def grad_x(out: Tensor, grad: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
    """The gradient for x.

    Args:
        out: (B, C, H, W), is filled.
        grad: (B, C, scale*h, scale*w).
        kernels, stride, scale, groups: as for `forward`.
    """
    grad = laid_out_like(out, grad)
    work = Work(out.zero_(), grad, kernels, stride, scale, groups)
    weights = work.weights(kernels)
    sources, targets = Phases(grad, scale, work), Phases(out, stride, work)
    for block, terms in work.blocks():
        source, target = sources.read(block), targets.read(block)
        for term in terms:
            weight = weights[block.image, block.group][term.weights]
            target[term.phase][term.pixels].addcmul_(source[term.near][term.points], weight)
        targets.write(block, target)


def grad_kernels(out: Tensor, grad: Tensor, x: Tensor, stride: int, scale: int, groups: int) -> None:
    """The gradient for the kernels.

    Args:
        out: (B, g * k*k * scale*scale, h, w), is filled.
        grad: (B, C, scale*h, scale*w).
        x: (B, C, H, W).
        stride, scale, groups: as for `forward`.
    """
    grad = laid_out_like(x, grad)
    work = Work(x, grad, out, stride, scale, groups)
    total = work.weights(torch.zeros_like(out, dtype=work.dtype, memory_format=torch.contiguous_format))
    sources, grads = Phases(x, stride, work), Phases(grad, scale, work)
    for block, terms in work.blocks():
        source, coming = sources.read(block), grads.read(block)
        for term in terms:
            product = source[term.phase][term.pixels] * coming[term.near][term.points]
            total[block.image, block.group][term.weights] += product.sum(0)
    out.copy_(total.view_as(out))


class Block(NamedTuple):
    """A part of the work: some channels of a group of an image."""

    image: int
    group: int
    channels: slice


class Term(NamedTuple):
    """The contribution of a tap to the pixels (i, j) of some points of the grid of kernels.

    Attributes:
        central: whether the tap is on the point itself.
        near: (i, j), the phase of the fine map.
        points: index into that phase: all channels, rows, columns.
        phase: (p, q), the phase of x that the tap falls on.
        pixels: index into that phase: all channels, rows, columns.
        weights: index into the kernels: tap, i, j, rows, columns.
    """

    central: bool
    near: Phase
    points: Index
    phase: Phase
    pixels: Index
    weights: Index


class Work:
    """The blocks and terms of a reassembly.

    A block has all pixels of a few channels of contiguous maps, or all channels of a few rows of channels_last ones, so
    that the innermost loops run along memory.

    Args:
        x: (B, C, H, W), the input or its gradient.
        fine: (B, C, scale*h, scale*w), the output or its gradient.
        kernels: (B, g * k*k * scale*scale, h, w), or their gradient.
        stride, scale, groups: as for `forward`.

    Attributes:
        dtype: of the accumulated sums, at least float32.
        by_pixel: whether the maps are channels_last and used without a copy.
        step: channels of a block.
    """

    def __init__(self, x: Tensor, fine: Tensor, kernels: Tensor, stride: int, scale: int, groups: int) -> None:
        tensors = (x, fine, kernels)
        self.dtype = reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
        self.by_pixel = all(t.dtype == self.dtype and by_pixel(t) for t in (x, fine))
        self.size, self.grid = x.shape[2:], kernels.shape[2:]
        self.stride, self.scale, self.groups = stride, scale, groups
        self.images, self.width = len(x), x.shape[1] // groups
        self.k = isqrt(kernels.shape[1] // (groups * scale**2))
        budget = CPU_BLOCK * torch.get_num_threads() if x.device.type == 'cpu' else GPU_BLOCK
        pixel = stride**2 + scale**2
        h, w = self.grid
        self.step = self.width if self.by_pixel else max(1, min(self.width, budget // (pixel * h * w)))
        self.rows = max(1, budget // (pixel * w * self.width)) if self.by_pixel else h

    def weights(self, kernels: Tensor) -> Tensor:
        """(B, g * k*k * scale*scale, h, w) -> (B, g, k*k, scale, scale, h, w), ready for the loops."""
        kernels = kernels.to(self.dtype) if self.by_pixel else kernels.to(self.dtype).contiguous()
        return kernels.unflatten(1, (self.groups, self.k**2, self.scale, self.scale))

    def blocks(self) -> Iterator[tuple[Block, list[Term]]]:
        """All blocks, each with its terms."""
        for first in range(0, self.grid[0], self.rows):
            terms = list(self.terms(first, min(first + self.rows, self.grid[0])))
            for image in range(self.images):
                for group in range(self.groups):
                    start, stop = group * self.width, (group + 1) * self.width
                    for c in range(start, stop, self.step):
                        yield Block(image, group, slice(c, min(c + self.step, stop))), terms

    def terms(self, first: int, last: int) -> Iterator[Term]:
        """All terms of some rows of the grid; for every phase of the fine map, the central one comes first."""
        centre, everything = self.k**2 // 2, slice(None)
        taps = sorted(range(self.k**2), key=lambda tap: tap != centre)
        for near in [(i, j) for i in range(self.scale) for j in range(self.scale)]:
            for tap in taps:
                p, rows, ys = self.span(tap // self.k, 0, first, last)
                q, columns, xs = self.span(tap % self.k, 1, 0, self.grid[1])
                if rows.start < rows.stop and columns.start < columns.stop:
                    points, pixels = (everything, rows, columns), (everything, ys, xs)
                    yield Term(tap == centre, near, points, (p, q), pixels, (tap, *near, rows, columns))

    def span(self, d: int, axis: int, first: int, last: int) -> tuple[int, slice, slice]:
        """One axis of a tap: the phase of x that it falls on, the points whose pixel exists there, and these pixels."""
        shift, phase = divmod(d - self.k // 2, self.stride)
        there = len(range(phase, self.size[axis], self.stride))
        start, stop = max(first, -shift), min(last, there - shift)
        return phase, slice(start, stop), slice(start + shift, stop + shift)


class Phases:
    """The s x s phases (C, h, w) of a map (B, C, s*h, s*w), or a little smaller, one block at a time.

    Args:
        maps: the map.
        s: distance of the pixels of a phase.
        work: the reassembly.
    """

    def __init__(self, maps: Tensor, s: int, work: Work) -> None:
        self.maps, self.s, self.memory = maps, s, None
        if not (work.by_pixel or (s == 1 and maps.dtype == work.dtype and maps.stride(-1) == 1)):
            shape = s, s, work.step, *(-(-n // s) for n in maps.shape[2:])
            self.memory = maps.new_empty(shape, dtype=work.dtype)  # once, for all blocks

    def views(self, block: Block) -> dict[Phase, Tensor]:
        """Views of the phases."""
        part, s = self.maps[block.image, block.channels], self.s
        return {(i, j): part[:, i::s, j::s] for i in range(s) for j in range(s)}

    def blank(self, block: Block) -> dict[Phase, Tensor]:
        """The phases, to be filled and given to `write`."""
        views = self.views(block)
        if self.memory is None:
            return views
        return {phase: self.memory[phase][tuple(map(slice, view.shape))] for phase, view in views.items()}

    def read(self, block: Block) -> dict[Phase, Tensor]:
        """The phases."""
        phases = self.blank(block)
        if self.memory is not None:
            for phase, view in self.views(block).items():
                phases[phase].copy_(view)
        return phases

    def write(self, block: Block, phases: dict[Phase, Tensor]) -> None:
        """Copy phases back into the map."""
        if self.memory is not None:
            for phase, view in self.views(block).items():
                view.copy_(phases[phase])


def by_pixel(maps: Tensor) -> bool:
    """True if a pixel's channels are neighbours in memory (channels_last)."""
    return maps.shape[1] > 1 and maps.stride(1) == 1


def laid_out_like(maps: Tensor, other: Tensor) -> Tensor:
    """Another map in the memory layout of `maps`."""
    return other.contiguous(memory_format=torch.channels_last) if by_pixel(maps) else other
