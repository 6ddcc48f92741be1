"""Dynamic aggregation of neighbouring mask representations, and mask interpolation (AggMask, Sec. 4, Eqs. 3 to 8).

    M_ij = Agg(M'_ij ⊕ N(M'_ij) ⊕ F_c, θ_ij)                          (AggMask, Eq. 6)

Agg is a small conv net with parameters θ_ij of the class cell (i, j). Its inputs are the representations M' at and
around the cell's position in the mask grid, and the context F_c. With a mask grid coarser than the class grid (mask
interpolation), neighbouring cells share representations.

Shape shorthand: N cells asked for, K representations of each, P parameters, C context channels, S side of the class
grid, (H, W) mask size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmagg.models.masks.grid.aggmask_context import Context
from mmagg.models.masks.grid.aggmask_parameters import CellParameters
from mmagg.models.masks.grid.local_masks import LocalMasks
from mmagg.models.masks.grid.sodar import CellOffsets
from mmagg.ops import (
    DynamicConvSpec,
    budget_on,
    chunk_size,
    dynamic_conv_of_gathered,
    grid_neighbours,
    num_neighbours,
    upload,
)

MASK_ACTIVATIONS = ('none', 'sigmoid')


class AggMaskMasks(LocalMasks):
    """Masks of one level, indexed by class cell.

    Args:
        representations: M', indexed by mask cell.
        neighbours: (S², K) long, on the CPU.
        mask_grid: side of the grid of mask cells.
        offsets: of the places of the neighbours (SODAR); None: the representations are those of the neighbours.
        parameters: θ.
        context: F_c, or None.
        spec: shape of the aggregation net.
        sigmoid: aggregate probabilities instead of logits.
        byte_budget: bytes of the representations of a chunk of cells, on a GPU with what is between the layers.
    """

    def __init__(
        self,
        representations: LocalMasks,
        neighbours: Tensor,
        mask_grid: int,
        offsets: CellOffsets | None,
        parameters: CellParameters,
        context: Context | None,
        spec: DynamicConvSpec,
        *,
        sigmoid: bool,
        byte_budget: int | None,
    ) -> None:
        self.size, self.stride = representations.size, representations.stride
        self.representations, self.neighbours = representations, neighbours
        self.mask_grid, self.offsets = mask_grid, offsets
        self.parameters, self.context, self.spec = parameters, context, spec
        self.sigmoid, self.byte_budget = sigmoid, byte_budget

    def at(self, image: int, cells: Tensor) -> Tensor:
        params = self.parameters.at(image, cells)
        maps = self.neighbours.shape[1] + 1
        if params.device.type == 'cuda':  # there, layers are of all cells at once
            maps += 2 * self.spec.channels
        chunk = chunk_size(4 * maps * self.size[0] * self.size[1], budget_on(params.device, self.byte_budget))
        if len(cells) <= chunk:
            return self.aggregate(image, cells, params)
        masks = [
            self.aggregate(image, part, part_params)
            for part, part_params in zip(cells.split(chunk), params.split(chunk), strict=True)
        ]
        return torch.cat(masks)

    def aggregate(self, image: int, cells: Tensor, params: Tensor) -> Tensor:
        """(N,) cells and their (N, P) parameters θ -> (N, H, W) logits (AggMask, Eq. 6).

        Plainly: `dynamic_conv(concat(M'[neighbours], F_c), θ)` on (N, K + C, H, W); here this stack is never made.
        """
        neighbours = self.neighbours[cells]
        if neighbours.numel():
            maps, place = self.gathered(image, cells, neighbours)
        else:
            maps, place = params.new_zeros(0, *self.size), neighbours
        context = params.new_zeros(0, *self.size) if self.context is None else self.context.at(image, self.size)
        return dynamic_conv_of_gathered(maps, place, context, params, self.spec)

    def gathered(self, image: int, cells: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        """The representations that (N,) cells with (N, K) neighbours aggregate, each computed once.

        Returns:
            (U, h, w), which may be smaller than the masks, and the indices in them of each cell's, (N, K) on the CPU.
        """
        if self.offsets is None:
            return self.distinct(image, neighbours)
        samples = self.offsets.samples(image, cells, neighbours, self.mask_grid)
        if samples.weights is None:
            return self.distinct(image, samples.corners[..., 0])
        maps, place = self.distinct(image, samples.corners)
        # Upsampling is linear: what is mixed before is mixed on fewer pixels.
        weights = samples.weights.flatten(0, 1).to(maps.dtype)
        mixed = F.embedding_bag(
            upload(place, maps.device).flatten(0, 1), maps.flatten(1), per_sample_weights=weights, mode='sum'
        )
        return mixed.unflatten(1, maps.shape[1:]), torch.arange(len(mixed)).view(neighbours.shape)

    def distinct(self, image: int, cells: Tensor) -> tuple[Tensor, Tensor]:
        """The representations of mask cells, an array on the CPU -> (U, h, w), and their indices, an array as given."""
        used, place = cells.unique(return_inverse=True)
        if self.sigmoid:
            return self.representations.at(image, used).sigmoid(), place
        return self.representations.small_at(image, used), place


@MODELS.register_module(name='DynamicAggregator')
class AggMaskAggregator(BaseModule):
    """AggMask's aggregation: from the representations of a mask branch to the masks of the class cells.

    With `parameters=dict(type='StaticParameters')` it is the static aggregation (AggMask, Eq. 4).

    Args:
        grids: side of the class grid of each level.
        mask_grids: side of the mask grid of each level.
        neighbours: pattern of the representations that a cell aggregates, see `grid_neighbours`.
        centre: rounding of a class cell's position in the mask grid, see `grid_neighbours`.
        context: config of the context; None for none.
        parameters: config of `DynamicParameters` or `StaticParameters`.
        offsets: config of `NeighbourOffsets`, deformable neighbour sampling (SODAR); None: the neighbours themselves.
        channels: channels between the layers of the aggregation net.
        num_layers: its layers.
        kernel_size: its kernels' side.
        mask_activation: 'none' aggregates logits, as the paper and the release; 'sigmoid' aggregates probabilities.
        byte_budget: bytes of the representations of a chunk of cells, on a GPU with what is between the layers; a
            chunk has at least one. None: as of `MaskPostProcessor`.

    Raises:
        ValueError: an unknown option, or nothing to aggregate.
    """

    def __init__(
        self,
        *,
        grids: Sequence[int],
        mask_grids: Sequence[int],
        neighbours: str = '4',
        centre: str = 'nearest',
        context: dict | None,
        parameters: dict,
        offsets: dict | None = None,
        channels: int = 4,
        num_layers: int = 3,
        kernel_size: int = 3,
        mask_activation: str = 'none',
        byte_budget: int | None = None,
    ) -> None:
        super().__init__()
        self.pattern = str(neighbours)  # --cfg-options makes a number of '4'
        if mask_activation not in MASK_ACTIVATIONS:
            raise ValueError(f'mask_activation is {mask_activation!r}; it must be one of {MASK_ACTIVATIONS}')
        if num_neighbours(self.pattern) == 0 and context is None:
            raise ValueError("neighbours='none' without context: there is nothing to aggregate")
        if num_neighbours(self.pattern) == 0 and offsets is not None:
            raise ValueError("neighbours='none' has no places that `offsets` could move")
        self.context = None if context is None else MODELS.build(context)
        self.spec = DynamicConvSpec(
            in_channels=num_neighbours(self.pattern) + (0 if self.context is None else self.context.channels),
            channels=channels,
            num_layers=num_layers,
            kernel_size=kernel_size,
        )
        self.parameter_branch = MODELS.build(dict(num_params=self.spec.num_params) | parameters)
        given = dict(num_neighbours=num_neighbours(self.pattern))
        self.offset_branch = None if offsets is None else MODELS.build(given | offsets)
        self.mask_grids = tuple(mask_grids)
        self.neighbours = [
            grid_neighbours(grid, mask_grid, self.pattern, centre=centre)
            for grid, mask_grid in zip(grids, mask_grids, strict=True)
        ]
        self.mask_activation, self.byte_budget = mask_activation, byte_budget

    def forward(
        self,
        feats: Sequence[Tensor],
        levels: Sequence[Tensor],
        class_feats: Sequence[Tensor],
        masks: Sequence[LocalMasks],
    ) -> list[LocalMasks]:
        """Lazy aggregated masks of every level.

        Args:
            feats: the pyramid from P2 on.
            levels: the pyramid resized to the head's strides.
            class_feats: the class tower's outputs, one (B, C', S, S) per level.
            masks: the mask branch's representations, indexed by mask cell.

        Returns:
            one `LocalMasks` per level, indexed by class cell.
        """
        context = None if self.context is None else self.context(feats, masks)
        parameters = self.parameter_branch(levels, class_feats, masks)
        offsets = [None] * len(masks) if self.offset_branch is None else self.offset_branch(class_feats)
        return [
            AggMaskMasks(
                source,
                neighbours,
                mask_grid,
                offset,
                params,
                context,
                self.spec,
                sigmoid=self.mask_activation == 'sigmoid',
                byte_budget=self.byte_budget,
            )
            for source, neighbours, mask_grid, offset, params in zip(
                masks, self.neighbours, self.mask_grids, offsets, parameters, strict=True
            )
        ]
