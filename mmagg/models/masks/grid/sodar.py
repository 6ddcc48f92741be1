"""Deformable neighbour sampling: each cell predicts where it takes its representations from (SODAR, abstract).

    p_k = neighbour_k + Δ_k(cell),  R_k = bilinear(M', p_k)            k = 1 … K

in the place of AggMask's representations M' of the neighbours themselves. What the abstract leaves open is ours: the
offsets Δ come from a convolution of the class tower's outputs, which starts at zero, so at AggMask's neighbours.

Shape shorthand: B images, N cells asked for, K representations of each, C channels, S side of the class grid, G of the
mask grid, Q class cells over all levels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.masks.grid.local_masks import Lazy
from mmagg.ops import upload


class Samples(NamedTuple):
    """Places in the mask grid, each between four of its cells."""

    corners: Tensor
    """(N, K, 4) long, on the CPU: row-major cells."""
    weights: Tensor | None
    """(N, K, 4) of the corners, summing up to 1; None: each place is its first corner."""


class CellOffsets:
    """The offsets of one level's class cells.

    Args:
        maps: (B, 2K, S, S) rows and columns of K offsets, in cells of the mask grid.
        on_host: lazy (B, 2K, Q) of all levels on the CPU, copied at once.
        first: the level's first cell in them.
    """

    def __init__(self, maps: Tensor, on_host: Lazy, first: int) -> None:
        self.maps, self.on_host, self.first = maps, on_host, first

    def samples(self, image: int, cells: Tensor, neighbours: Tensor, grid: int) -> Samples:
        """The places of some cells.

        Args:
            image: index of the image.
            cells: (N,) long, on the CPU.
            neighbours: (N, K) long, on the CPU, the cells of the mask grid that offsets are of.
            grid: G; places end at its border.
        """
        base = torch.stack([neighbours // grid, neighbours % grid], 2)  # (N, K, 2)
        place = placed(base, of_cells(self.on_host.value[image], self.first + cells), grid)
        low = place.long()
        between = place > low
        if not torch.is_grad_enabled():
            # Of what has no weight nothing is computed; a gradient needs it.
            if not between.any():
                return Samples((low[..., :1] * grid + low[..., 1:]).expand(-1, -1, 4), None)
            high = low + between
        else:
            high = (low + 1).clamp(max=grid - 1)
        rows, columns = torch.stack([low, high], 3).unbind(2)  # (N, K, 2) each
        corners = (rows[..., None] * grid + columns[..., None, :]).flatten(2)

        device = self.maps.device
        base, low = upload(torch.stack([base, low]), device)
        share = placed(base, of_cells(self.maps[image].flatten(1), upload(cells, device)), grid) - low
        y, x = torch.stack([1 - share, share], 3).unbind(2)
        return Samples(corners, (y[..., None] * x[..., None, :]).flatten(2))


def of_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """(2K, Q) maps and (N,) cells -> (N, K, 2) rows and columns, at least in float32: half has few places between."""
    values = maps[:, cells].T.unflatten(1, (-1, 2))
    return values.to(torch.promote_types(values.dtype, torch.float32))


def placed(base: Tensor, offsets: Tensor, grid: int) -> Tensor:
    """(N, K, 2) cells and offsets -> places, within the grid."""
    return (base + offsets).clamp(0, grid - 1)


@MODELS.register_module()
class NeighbourOffsets(BaseModule):
    """Predicts the offsets of every class cell from the class tower's outputs.

    Args:
        num_neighbours: K.
        channels: C.
        kernel_size: of the convolution.
    """

    def __init__(self, *, num_neighbours: int, channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * num_neighbours, kernel_size, padding=kernel_size // 2)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.get_parameter('bias'))

    def forward(self, class_feats: Sequence[Tensor]) -> list[CellOffsets]:
        """The class tower's outputs, each (B, C, S, S) -> the offsets of every level."""
        maps = [self.conv(x) for x in class_feats]
        on_host = Lazy(lambda: torch.cat([x.detach().flatten(2) for x in maps], 2).cpu())
        firsts = [sum(x.shape[2] ** 2 for x in maps[:level]) for level in range(len(maps))]
        return [CellOffsets(x, on_host, first) for x, first in zip(maps, firsts, strict=True)]
