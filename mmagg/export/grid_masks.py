"""The masks of a fixed number of candidate cells, whose levels are known only when the file runs.

Levels with masks of one size are a group; one size for all (SOLOv2) is one group. In chunks of candidates, ordered by
their cells, the masks are computed in each group that any of them is of, as if all were, and each candidate's is
chosen. Behind those that passed the threshold, nothing is computed.

Shape shorthand: B images, N candidates, Q cells over all levels, C channels, D of the mask features, S grid side, K
neighbours, (h, w) size of a group's masks, (H, W) size of the first level's, P parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.export.plain_ops import Windows, conv_of_windows, rows_of
from mmagg.models.masks.grid.aggmask import AggMaskMasks
from mmagg.models.masks.grid.aggmask_parameters import PredictedParameters
from mmagg.models.masks.grid.decoupled_solo import AxisMaps, DecoupledSOLOMasks
from mmagg.models.masks.grid.local_masks import LocalMasks
from mmagg.models.masks.grid.solo import SOLOMasks
from mmagg.models.masks.grid.solov2 import SOLOv2Masks
from mmagg.ops import DynamicConvSpec

CHUNK = 64  # candidates that are computed in a group, or are not: an If each
BLOCK = 16  # candidates whose aggregation nets are one grouped convolution: more fill the memory with their inputs


class CandidateMasks(ABC):
    """The masks of the levels of a group, by cells counted over them."""

    @abstractmethod
    def logits(self, cells: Tensor, size: Sequence[Any] | None) -> Tensor:
        """(B, N) cells -> (B, N, h, w) logits.

        Args:
            cells: counted over the levels.
            size: h and w, where the caller knows them: in an If, sizes of other tensors are numbers of their own.
        """

    def probs(self, cells: Tensor, size: Sequence[Any], *, first: bool) -> Tensor:
        """(B, N) cells -> (B, N, H, W) probabilities, resized after the sigmoid, as `LocalMasks.probs_at`.

        Args:
            cells: counted over the levels.
            size: H and W.
            first: whether this is the first group, whose masks have that size.
        """
        return self.logits(cells, size).sigmoid() if first else resized(self.logits(cells, None).sigmoid(), size)


class SOLOCandidates(CandidateMasks):
    """SOLO's: rows of the last convolutions' weights, times the towers' outputs side by side."""

    def __init__(self, levels: Sequence[SOLOMasks]) -> None:
        self.features = torch.cat([x.features.value for x in levels], dim=1)
        # A row of a level is zero on the channels of the others.
        self.weight = torch.block_diag(*(x.conv.weight.flatten(1) for x in levels))
        self.bias = torch.cat([x.conv.get_parameter('bias') for x in levels])

    def logits(self, cells: Tensor, size: Sequence[Any] | None) -> Tensor:
        small = products(self.weight[cells], self.features) + self.bias[cells][..., None, None]
        if size is None:
            return F.interpolate(small, scale_factor=2, mode='bilinear', align_corners=False)
        return resized(small, size)


class DecoupledSOLOCandidates(CandidateMasks):
    """Decoupled SOLO's: all S column maps and S row maps of each level, of which the candidates take theirs."""

    def __init__(self, levels: Sequence[DecoupledSOLOMasks], grids: Sequence[int]) -> None:
        self.maps = {name: self.axis([getattr(x, name) for x in levels]) for name in 'xy'}
        cell = [torch.arange(grid**2) for grid in grids]
        starts = [sum(grids[:i]) for i in range(len(grids))]
        self.column = torch.cat([x % grid + start for x, grid, start in zip(cell, grids, starts, strict=True)])
        self.row = torch.cat([x // grid + start for x, grid, start in zip(cell, grids, starts, strict=True)])

    @staticmethod
    def axis(levels: Sequence[AxisMaps]) -> Tensor:
        """(B, ΣS, h, w) logits of all maps of an axis."""
        return torch.cat([x.conv(x.features.value) for x in levels], dim=1)

    def logits(self, cells: Tensor, size: Sequence[Any] | None) -> Tensor:
        x, y = (-maps_of(self.maps[name], index[cells]) for name, index in (('x', self.column), ('y', self.row)))
        # The logit of σ(-x) · σ(-y) as in `product_logit`: -log(e^x + e^y + e^(x + y)).
        most = torch.maximum(torch.maximum(x, y), x + y)
        return -(most + ((x - most).exp() + (y - most).exp() + (x + y - most).exp()).log())

    def probs(self, cells: Tensor, size: Sequence[Any], *, first: bool) -> Tensor:
        index = {'x': self.column, 'y': self.row}
        x, y = (resized(maps_of(self.maps[name], index[name][cells]).sigmoid(), size) for name in 'xy')
        return x * y


class SOLOv2Candidates(CandidateMasks):
    """SOLOv2's: the kernels that the candidates' cells predict, times the mask features."""

    def __init__(self, levels: Sequence[SOLOv2Masks]) -> None:
        self.features, self.conv = levels[0].mask_features, levels[0].conv_kernel
        self.windows = Windows([x.kernel_features.value for x in levels], self.conv.kernel_size[0])

    def logits(self, cells: Tensor, size: Sequence[Any] | None) -> Tensor:
        return products(conv_of_windows(self.windows.at(cells), self.conv.weight, self.conv.bias), self.features)


class AggMaskCandidates(CandidateMasks):
    """AggMask's: a net of each candidate over the representations around its cell, in blocks of candidates.

    A block is one grouped convolution per layer, of the images one after the other: a convolution's weights are of one
    image.
    """

    def __init__(self, levels: Sequence[AggMaskMasks], mask_grids: Sequence[int]) -> None:
        first = levels[0]
        self.spec, self.sigmoid = first.spec, first.sigmoid
        self.source = group_of([x.representations for x in levels], mask_grids, mask_grids)
        starts = [sum(grid**2 for grid in mask_grids[:i]) for i in range(len(mask_grids))]
        self.neighbours = torch.cat([x.neighbours + start for x, start in zip(levels, starts, strict=True)])
        self.places = None if first.offsets is None else CandidatePlaces(levels, mask_grids)
        self.context = None if first.context is None else first.context.resized(first.size)
        self.predictor = first.parameters
        if isinstance(first.parameters, PredictedParameters):
            towers = [x.parameters.features.value for x in levels]  # type: ignore[attr-defined]
            self.windows = Windows(towers, first.parameters.conv.kernel_size[0])

    def parameters(self, cells: Tensor) -> Tensor:
        """(B, N) -> (B, N, P)."""
        given = self.predictor
        if not isinstance(given, PredictedParameters):
            return given.at(0, cells[0]).expand(cells.shape[0], -1, -1)
        return given.activation(conv_of_windows(self.windows.at(cells), given.conv.weight, given.conv.bias))

    def logits(self, cells: Tensor, size: Sequence[Any] | None) -> Tensor:
        params, index, weights = self.parameters(cells), self.neighbours[cells], None
        if self.places is not None:
            index, weights = self.places.at(cells)
        number = index.shape[1]
        sizes = [min(BLOCK, number - start) for start in range(0, number, BLOCK)]
        of_corners = [None] * len(sizes) if weights is None else parts_of(weights, sizes, dim=1)
        blocks = zip(parts_of(index, sizes, dim=1), of_corners, parts_of(params, sizes, dim=1), strict=True)
        masks = []
        for near, corner, values in blocks:  # (B, n, K) or (B, n, 4K), (B, n, P)
            maps = None
            if near.shape[2]:
                maps = self.source.logits(near.flatten(1), size)
                maps = maps.sigmoid() if self.sigmoid else maps  # (B, n · K, h, w)
                if corner is not None:
                    maps = (maps * corner.flatten(1)[..., None, None]).unflatten(1, (-1, 4)).sum(2)
            of_images = [
                aggregated(
                    None if maps is None else maps[image : image + 1],
                    None if self.context is None else self.context[image : image + 1],
                    values[image],
                    self.spec,
                )
                for image in range(values.shape[0])
            ]
            masks.append(torch.stack(of_images))
        return torch.cat(masks, dim=1)


class CandidatePlaces:
    """SODAR's places of representations, each between four cells of its level's mask grid."""

    def __init__(self, levels: Sequence[AggMaskMasks], mask_grids: Sequence[int]) -> None:
        counts = [len(x.neighbours) for x in levels]
        self.grid = torch.cat([torch.full((n, 1, 1), g) for n, g in zip(counts, mask_grids, strict=True)])
        starts = [sum(grid**2 for grid in mask_grids[:i]) for i in range(len(mask_grids))]
        self.start = torch.cat([torch.full((n, 1, 1), start) for n, start in zip(counts, starts, strict=True)])
        cells = [torch.stack([x.neighbours // g, x.neighbours % g], 2) for x, g in zip(levels, mask_grids, strict=True)]
        self.base = torch.cat(cells)  # (Q, K, 2) rows and columns
        self.offsets = torch.cat([x.offsets.maps.flatten(2) for x in levels], dim=2)  # type: ignore[union-attr]

    def at(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) -> (B, N, 4K) cells of the group's mask grids, and their weights; see `CellOffsets.samples`."""
        offsets = rows_of(self.offsets.transpose(1, 2), cells).unflatten(2, (-1, 2))
        grid = self.grid[cells]
        place = torch.minimum((self.base[cells] + offsets).clamp(min=0), (grid - 1).to(offsets.dtype))
        low = place.long()
        corners, share = torch.stack([low, torch.minimum(low + 1, grid - 1)], 4), place - low
        weights = torch.stack([1 - share, share], 4)
        (rows, columns), (y, x) = (both.unbind(3) for both in (corners, weights))  # (B, N, K, 2)
        index = (rows[..., None] * self.grid[cells][..., None] + columns[..., None, :]).flatten(2)
        return index + self.start[cells][..., 0], (y[..., None] * x[..., None, :]).flatten(2)


def aggregated(maps: Tensor | None, context: Tensor | None, params: Tensor, spec: DynamicConvSpec) -> Tensor:
    """The aggregation nets of a block of n candidates (AggMask, Eq. 6).

    Args:
        maps: (1, n · K, h, w) representations, None for K = 0.
        context: (1, C, h, w), or None.
        params: (n, P).
        spec: shape of the nets.

    Returns:
        (n, h, w) logits.
    """
    number, (first, bias), *others = params.shape[0], *layers_of(params, spec)
    conv = partial(F.conv2d, padding=spec.kernel_size // 2)
    near = 0 if maps is None else maps.shape[1] // number
    # What candidates share is convolved by all nets at once, what is their own in groups.
    if maps is None:
        x = conv(context, first.flatten(0, 1), bias.flatten())
    else:
        own, shared = parts_of(first, (near, first.shape[2] - near), dim=2)
        x = conv(maps, own.flatten(0, 1), bias.flatten(), groups=number)
        if context is not None:
            x = x + conv(context, shared.flatten(0, 1))
    for weight, bias in others:
        x = conv(x.relu(), weight.flatten(0, 1), bias.flatten(), groups=number)
    return x[0]


def layers_of(params: Tensor, spec: DynamicConvSpec) -> list[tuple[Tensor, Tensor]]:
    """`DynamicConvSpec.split`."""
    k = spec.kernel_size
    parts = parts_of(params, [size for o, i in spec.layers for size in (o * i * k * k, o)], dim=1)
    return [
        (weight.unflatten(1, (o, i, k, k)), bias)
        for (o, i), weight, bias in zip(spec.layers, parts[::2], parts[1::2], strict=True)
    ]


def parts_of(x: Tensor, sizes: Sequence[int], *, dim: int) -> list[Tensor]:
    """`torch.split`, gathered: OpenVINO cannot copy a Split in an If, which it does in models with int8."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [x.index_select(dim, torch.arange(a, a + size)) for a, size in zip(starts, sizes, strict=True)]


def group_of(levels: Sequence[LocalMasks], grids: Sequence[int], mask_grids: Sequence[int]) -> CandidateMasks:
    """The masks of levels of one size; arguments as of `candidate_probs`.

    Raises:
        TypeError: their kind is not known here.
    """
    first, several = levels[0], list[Any](levels)
    if isinstance(first, AggMaskMasks):
        return AggMaskCandidates(several, mask_grids)
    if isinstance(first, SOLOMasks):
        return SOLOCandidates(several)
    if isinstance(first, DecoupledSOLOMasks):
        return DecoupledSOLOCandidates(several, grids)
    if isinstance(first, SOLOv2Masks):
        return SOLOv2Candidates(several)
    raise TypeError(f'masks of {type(first).__name__} have no exported form')


def candidate_probs(
    masks: Sequence[LocalMasks], grids: Sequence[int], mask_grids: Sequence[int], cells: Tensor, asked: Tensor
) -> Tensor:
    """Mask probabilities of candidates.

    Args:
        masks: one per level.
        grids: sides of their grids.
        mask_grids: sides of the grids of representations (AggMask), else the same.
        cells: (B, N) long, counted over all levels; ascending, but for those that are not asked for.
        asked: (B, N) bool, the first ones of each image.

    Returns:
        (B, N, H, W), at the first level's size; of those that are not asked for, whatever costs nothing.
    """
    groups: list[tuple[CandidateMasks, int, int]] = []
    before = 0
    for _, levels in groupby(range(len(masks)), key=lambda level: masks[level].stride):
        part = slice((index := list(levels))[0], index[-1] + 1)
        behind = before + sum(side**2 for side in grids[part])
        groups.append((group_of(masks[part], grids[part], mask_grids[part]), before, behind))
        before = behind
    if len(groups) == 1 and isinstance(first := groups[0][0], SOLOv2Candidates):  # a product, which costs less than Ifs
        return first.probs(cells, masks[0].size, first=True)
    chunks = []
    for some, there in zip(cells.split(CHUNK, dim=1), asked.split(CHUNK, dim=1), strict=True):
        probs = torch.zeros(*some.shape, *masks[0].size)
        for group, before, behind in groups:

            def own(some: Tensor, within: Tensor, probs: Tensor, group=group, before=before, behind=behind) -> Tensor:
                local = (some - before).clamp(0, behind - before - 1)
                values = group.probs(local, probs.shape[2:], first=before == 0)
                return torch.where(within[..., None, None], values, probs)

            probs = if_any(own, some, there & (some >= before) & (some < behind), probs)
        chunks.append(probs)
    return torch.cat(chunks, dim=1)


def if_any(change: Callable[..., Tensor], some: Tensor, within: Tensor, probs: Tensor) -> Tensor:
    """`change(some, within, probs)` where any is `within`, else `probs`: an If of the file."""
    if not torch.compiler.is_exporting():
        return change(some, within, probs) if within.any() else probs
    # Flat, so that both branches have the same strides whatever the sizes are.
    found = torch.cond(
        within.any(),
        lambda some, within, probs: change(some, within, probs).flatten(),
        lambda some, within, probs: probs.flatten().clone(),
        (some, within, probs),
    )
    return found.view(probs.shape)


def products(weight: Tensor, features: Tensor) -> Tensor:
    """1x1 convolutions of each image: (B, N, C) and (B, C, h, w) -> (B, N, h, w)."""
    return (weight @ features.flatten(2)).unflatten(2, features.shape[2:])


def maps_of(maps: Tensor, index: Tensor) -> Tensor:
    """Maps of each image: (B, M, h, w) and (B, N) -> (B, N, h, w)."""
    return rows_of(maps.flatten(2), index).unflatten(2, maps.shape[2:])


def resized(maps: Tensor, size: Sequence[Any]) -> Tensor:
    """(B, N, h, w) -> (B, N, H, W), bilinearly (align_corners=False)."""
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)
