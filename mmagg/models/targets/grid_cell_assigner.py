"""The assignment of objects to grid cells, and the mask targets (SOLO, Sec. 2.3).

Shape shorthand: G objects of one image, L levels, S grid side of a level, Q = sum of S² over the levels, (H, W) image.
A cell's index runs over all levels, row-major within each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import upload

CONFLICTS = ('last', 'duplicate')
ROUNDINGS = ('floor', 'trunc')


@dataclass
class GridTargets:
    """The targets of one image's cells.

    Attributes:
        gt_of_cell: (Q,) long, the object of each cell, -1 for background.
        cells: (P,) long, the cell of each positive pair, ascending; on the CPU.
        gts: (P,) long, its object; on the CPU.
    """

    gt_of_cell: Tensor
    cells: Tensor
    gts: Tensor

    def labels(self, gt_labels: Tensor, background: int) -> Tensor:
        """(G,) class of each object -> (Q,) class of each cell, `background` where there is none."""
        return F.pad(gt_labels, (0, 1), value=background)[self.gt_of_cell]  # -1 picks the last

    def sample(self, most: int) -> 'GridTargets':
        """At most `most` of the positive pairs, chosen at random; the cells' objects stay."""
        if len(self.cells) <= most:
            return self
        chosen = torch.randperm(len(self.cells))[:most].sort().values
        return GridTargets(self.gt_of_cell, self.cells[chosen], self.gts[chosen])


@TASK_UTILS.register_module()
class GridCellAssigner:
    """Assigns an object to the cells around its centre of mass, on the levels that its size belongs to.

    Args:
        grids: grid side S of each level.
        scale_ranges: per level the smallest and largest sqrt(w * h) of an object, both inclusive, in pixels.
        centre_scale: side of the centre region as a share of the object's box (ε of SOLO, Sec. 2.3). The region is also
            kept within one cell of the centre's cell.
        conflicts: the targets of a cell that several objects claim. 'last': class and mask of the last one (the
            releases of SOLO and AggMask). 'duplicate': the class of the last one, but the masks of all (mmdet's
            SOLOV2Head; the mask loss is still divided by the number of distinct cells; SOLOv2's release divides by the
            number of pairs).
        min_area: objects with fewer mask pixels are ignored: 10 in AggMask's release and in the early SOLO that it
            started from; 1, only empty ones, in SOLO's and SOLOv2's public heads and in mmdet.
        rounding: the cell of a point on the border of two. 'floor': floor division, of centres of mass in float64
            (AggMask and early SOLO); 'trunc': the quotient in float32, truncated (SOLO's public heads and mmdet). At
            1/4 of 40 cells, the former gives cell 9 and the latter cell 10.

    Raises:
        ValueError: if the numbers of levels differ; unknown `conflicts` or `rounding`.
    """

    def __init__(
        self,
        *,
        grids: Sequence[int] = (40, 36, 24, 16, 12),
        scale_ranges: Sequence[tuple[int, int]] = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048)),
        centre_scale: float = 0.2,
        conflicts: str = 'last',
        min_area: int = 10,
        rounding: str = 'floor',
    ) -> None:
        if len(grids) != len(scale_ranges):
            raise ValueError(f'{len(grids)} grids but {len(scale_ranges)} scale_ranges; give one of each per level')
        if conflicts not in CONFLICTS:
            raise ValueError(f'conflicts is {conflicts!r}; it must be one of {CONFLICTS}')
        if rounding not in ROUNDINGS:
            raise ValueError(f'rounding is {rounding!r}; it must be one of {ROUNDINGS}')
        self.grids, self.scale_ranges = tuple(grids), tuple(scale_ranges)
        self.centre_scale, self.conflicts, self.min_area = centre_scale, conflicts, min_area
        self.rounding = rounding
        cells = [(level, *np.divmod(np.arange(grid**2), grid)) for level, grid in enumerate(self.grids)]
        self.places = np.concatenate([np.stack(np.broadcast_arrays(*one)) for one in cells], axis=1)  # (3, Q)

    @property
    def dtype(self) -> torch.dtype:
        """In which centres of mass are computed."""
        return torch.float64 if self.rounding == 'floor' else torch.float32

    def assign(self, boxes: Tensor, masks: Tensor, image_size: tuple[int, int]) -> GridTargets:
        """Find the positive cells of one image.

        Args:
            boxes: (G, 4) float xyxy in pixels.
            masks: (G, H, W) uint8 or bool; may be smaller than `image_size`, from the top left.
            image_size: (height, width) that the grid covers: the padded input of the network.
        """
        return self.assign_batch(boxes, masks, image_size, [len(boxes)])[0]

    def assign_batch(
        self, boxes: Tensor, masks: Tensor, image_size: tuple[int, int], counts: Sequence[int]
    ) -> list[GridTargets]:
        """Find the positive cells of several images, given the objects of all; `counts` are how many each has."""
        return self.settle_batch(self.claims(boxes, masks, image_size), counts)

    def settle(self, claims: Tensor) -> GridTargets:
        """Decide whose a cell is that several objects claim: (G, Q) bool, as of `claims`, -> the targets."""
        return self.settle_batch(claims, [len(claims)])[0]

    def settle_batch(self, claims: Tensor, counts: Sequence[int]) -> list[GridTargets]:
        """`settle` of several images, with the claims of the objects of all; a GPU is waited for twice."""
        before = list(accumulate(counts, initial=0))
        order = torch.arange(1, len(claims) + 1, device=claims.device)[:, None]
        ranks = claims * order
        # The last claimant wins.
        winners = [x.amax(0) if len(x) else x.new_zeros(x.shape[1]) for x in ranks.split(list(counts))]
        if self.conflicts == 'duplicate':
            chosen = claims
        else:
            of_image = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
            chosen = claims & (ranks == torch.stack(winners)[upload(of_image, claims.device)])
        pairs = chosen.t().nonzero().cpu()  # ascending cells, then objects
        targets = []
        for first, last, winner in zip(before[:-1], before[1:], winners, strict=True):
            cells, gts = pairs[(pairs[:, 1] >= first) & (pairs[:, 1] < last)].t().contiguous()
            targets.append(GridTargets((winner - 1 - first).clamp(min=-1), cells, gts - first))
        return targets

    def claims(self, boxes: Tensor, masks: Tensor, image_size: tuple[int, int]) -> Tensor:
        """(G, 4) boxes, (G, H, W) masks -> (G, Q) bool, whether an object claims a cell."""
        return self.cells_around(boxes, *mass(masks, self.dtype), image_size)

    def cells_around(self, boxes: Tensor, area: Tensor, centre: Tensor, image_size: tuple[int, int]) -> Tensor:
        """`claims` of objects whose area (G,) and centre of mass (G, 2), x and y in `dtype`, are known already."""
        sides = boxes[:, 2:] - boxes[:, :2]
        scale = sides.prod(dim=1).sqrt()[:, None]
        half = 0.5 * sides * self.centre_scale  # (G, 2), x and y
        extent = upload([image_size[1], image_size[0]], boxes.device, dtype=centre.dtype)
        rows = [(1 / grid, grid - 1, *limits) for grid, limits in zip(self.grids, self.scale_ranges, strict=True)]
        step, most, low, high = upload(rows, boxes.device, dtype=centre.dtype).unbind(1)  # (L,) each

        def cell(point: Tensor) -> Tensor:
            """(G, 2) -> (G, L, 2)."""
            # This order of operations has the cell borders of the releases, or of mmdet, to the last bit.
            return torch.div((point / extent)[:, None], step[:, None], rounding_mode=self.rounding)

        own = cell(centre)
        first = torch.maximum(cell(centre - half).clamp(min=0), own - 1)
        last = torch.minimum(cell(centre + half).minimum(most[:, None]), own + 1)
        line = torch.arange(max(self.grids), device=boxes.device)[:, None]
        inside = (line >= first[:, :, None]) & (line <= last[:, :, None])  # (G, L, most S, 2), columns and rows
        here = (scale >= low) & (scale <= high) & (area >= self.min_area)[:, None]  # (G, L)
        level, row, column = upload(self.places, boxes.device)
        return (inside[..., 1] & here[..., None])[:, level, row] & inside[..., 0][:, level, column]


def mass(masks: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Area and centre of mass.

    Args:
        masks: (G, H, W) uint8 or bool.
        dtype: of the centre.

    Returns:
        (G,) long number of pixels and (G, 2) centre (x, y); (0, 0) for an empty mask.
    """
    columns, rows = masks.sum(dim=1, dtype=torch.long), masks.sum(dim=2, dtype=torch.long)
    area = rows.sum(dim=1)
    moments = [(line * torch.arange(line.shape[1], device=masks.device)).sum(dim=1) for line in (columns, rows)]
    return area, torch.stack(moments, dim=1) / area.to(dtype).clamp(min=1e-6)[:, None]


def downsample_masks(masks: Tensor, *, stride: int, size: tuple[int, int]) -> Tensor:
    """Mask targets: each `stride` x `stride` block becomes the majority of the four pixels at its centre.

    This equals OpenCV's bilinear resize of a binary image by 1 / stride (half rounds up), which the releases and mmdet
    use, but reads only the pixels that matter.

    Args:
        masks: (G, H, W) uint8.
        stride: pixels per target pixel, an even number.
        size: (h, w) of the targets; background beyond the masks.

    Returns:
        (G, h, w) bool.
    """
    if stride % 2:
        raise ValueError(f'stride is {stride}; mask targets need an even one')
    near = stride // 2 - 1
    # At most one block straddles the border of the masks; zeros complete it.
    masks = F.pad(masks, (0, -masks.shape[2] % stride, 0, -masks.shape[1] % stride))
    votes: Any = sum(masks[:, near + dy :: stride, near + dx :: stride] for dy in (0, 1) for dx in (0, 1))
    targets = votes >= 2
    return F.pad(targets, (0, size[1] - targets.shape[2], 0, size[0] - targets.shape[1]))
