"""The mask representations of a grid cell (AggMask, Fig. 5), and the masks of all cells of a level (SOLO, Fig. 4).

Shape shorthand: K masks at and around a place, N cells, S side of a level's class grid, (h, w) mask size of a level,
(H, W) mask size of the first level.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmagg.models.heads import GridMaskHead
from mmagg.models.masks import LocalMasks
from mmagg.models.masks.grid.aggmask import AggMaskMasks
from mmagg.ops import budget_on, chunk_size, grid_neighbours, resize_masks

PLAIN_PATTERN = '4'  # neighbours to show of heads without an aggregator


class Surroundings(NamedTuple):
    """Masks at and around a place."""

    maps: Tensor
    """(K, height, width) logits or probabilities."""
    cells: Tensor
    """(K,) the cell of each map; with SODAR, the cell that the map's place is moved from."""
    grid: int
    """Side of the grid of these cells."""
    pattern: str = 'self'
    """Their arrangement in the grid, see `grid_neighbours`."""


class MaskInspector:
    """The masks of a head for one image.

    Args:
        head: in evaluation mode.
        masks: the masks that its `forward` returned; the first image of the batch is taken.
    """

    def __init__(self, head: GridMaskHead, masks: list[LocalMasks]) -> None:
        self.head, self.masks = head, masks

    def place(self, cell: int) -> tuple[int, int]:
        """A cell over all levels -> its level, and the cell within the level's grid."""
        [(level, _, local)] = self.head.by_level(np.array([cell]))
        return level, int(local[0])

    @torch.no_grad()
    def representations(self, level: int, cell: int) -> Surroundings:
        """The mask representations that a cell, in [0, S²), of a level aggregates: logits (K, h, w).

        They are in the order of `grid_neighbours`; K = 0 if the head aggregates context alone. Without an aggregator,
        they are the local masks of the cell and its four neighbours.
        """
        source, grid, pattern = self.masks[level], self.head.mask_branch.grids[level], PLAIN_PATTERN
        aggregator = self.head.aggregator
        if aggregator is None or not isinstance(source, AggMaskMasks):
            cells = grid_neighbours(grid, grid, pattern)[cell]
            return Surroundings(source.at(0, cells), cells, grid, pattern)
        cells = source.neighbours[cell]
        if not len(cells):
            return Surroundings(torch.zeros(0, *source.size), cells, grid, aggregator.pattern)
        maps, [place] = source.gathered(0, torch.tensor([cell]), cells[None])
        maps = maps.logit() if source.sigmoid else maps
        return Surroundings(resize_masks(maps, size=source.size)[place], cells, grid, aggregator.pattern)

    @torch.no_grad()
    def probs(self, level: int, cells: Tensor) -> Tensor:
        """The masks of some cells as the head decodes them: (N,) long, within the level's grid -> (N, H, W)."""
        first = sum(grid**2 for grid in self.head.grids[:level])
        device = next(self.head.parameters()).device
        return self.head.decode(self.masks, 0, first + cells.numpy(), device)

    def probs_around(self, level: int, cell: int, grid: int) -> Surroundings:
        """The masks at the place of another head's cell, and at the four cells around it.

        Args:
            level: index of the level, the same in both heads.
            cell: of the other head, row-major.
            grid: side of the other head's grid.

        Returns:
            Probabilities (5, H, W): up, left, the place itself, right, down.
        """
        own = self.head.grids[level]
        cells = grid_neighbours(grid, own, PLAIN_PATTERN)[cell]
        return Surroundings(self.probs(level, cells), cells, own, PLAIN_PATTERN)

    @torch.no_grad()
    def level_probs(self, level: int) -> Iterator[Tensor]:
        """The masks of all S² cells of a level, row by row, in chunks (n, h, w) under the head's byte budget."""
        masks = self.masks[level]
        # A pixel has its logit and its probability.
        budget = budget_on(self.head.conv_cls.weight.device, self.head.post_process.byte_budget)
        chunk = chunk_size(2 * 4 * masks.size[0] * masks.size[1], budget)
        for cells in torch.arange(self.head.grids[level] ** 2).split(chunk):
            yield masks.probs_at(0, cells, masks.size)


@contextmanager
def recorded(module: nn.Module) -> Iterator[list]:
    """Collects what a module returns while the block runs."""
    outputs: list[Any] = []
    handle = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
