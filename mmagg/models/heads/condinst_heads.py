"""AggMask's aggregation over CondInst's masks: the representations are the masks of the neighbouring locations.

    M = M' + Agg(M' ⊕ N(M') ⊕ F, θ)           (AggMask, Eq. 6; the sum, and F for F_c, are ours)

M' is the mask that CondInst predicts at a location, N(M') are those at its neighbours on the level, F CondInst's mask
features, and θ the location's parameters of the conv net Agg. A mask is computed if it, or a neighbour, is asked for,
and once however many do.

Shape shorthand: N locations asked for, K representations of each, U of them all, Q locations of an image, P parameters
of a mask head of CondInst, D features of a location, (h, w) size of the mask features.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from mmdet.models.dense_heads import CondInstBboxHead, CondInstMaskHead
from mmdet.models.utils import aligned_bilinear, relative_coordinate_maps
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.ops import DynamicConvSpec, budget_on, chunk_size, dynamic_conv_of_gathered, upload
from mmagg.ops.grid_neighbours import find_pattern


class ConvWithInput(nn.Conv2d):
    """A convolution whose outputs are followed by its inputs: (B, D, h, w) -> (B, P + D, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([super().forward(x), x], 1)


@MODELS.register_module()
class AggMaskCondInstBboxHead(CondInstBboxHead):
    """CondInst's boxes, with what `AggMaskCondInstMaskHead` needs of each location and of its neighbours.

    Its state dict is that of mmdet's.

    Args:
        *args: mmdet's.
        neighbours: pattern of the locations whose masks are aggregated, see `grid_neighbours`.
        **kwargs: mmdet's.

    Raises:
        ValueError: a pattern that has no centre, or is unknown.
    """

    def __init__(self, *args: Any, neighbours: str = '4', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = steps_of(neighbours)
        self.num_params += self.feat_channels  # of what comes out of the controller

    def _init_layers(self) -> None:
        super()._init_layers()
        self.controller: nn.Conv2d = ConvWithInput(self.feat_channels, self.num_params, 3, padding=1)

    def get_positive_infos(self) -> list[InstanceData]:
        """mmdet's, with those of `neighbours_of`."""
        infos = super().get_positive_infos()
        return self._with_neighbours(infos, self._raw_positive_infos['param_preds'])

    def predict_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], score_factors: Any, param_preds: list[Tensor],
        **kwargs: Any,
    ) -> list[InstanceData]:  # fmt: skip
        """mmdet's, with those of `neighbours_of`."""
        found = super().predict_by_feat(cls_scores, bbox_preds, score_factors, param_preds, **kwargs)
        return self._with_neighbours(found, param_preds)

    def _with_neighbours(self, infos: list[InstanceData], maps: list[Tensor]) -> list[InstanceData]:
        number = self.controller.out_channels
        for image, info in enumerate(infos):
            own = [level[image, :number] for level in maps]
            info.neighbours, info.cells = neighbours_of(
                info.points,
                info.strides,
                own,
                strides_of_levels=[width for width, _ in self.prior_generator.strides],
                steps=self.steps,
            )
        return infos


def steps_of(pattern: str) -> tuple[tuple[int, int], ...]:
    """The offsets (row, column) of a pattern, one of which is (0, 0); raises ValueError if there is none."""
    offsets, centred = find_pattern(str(pattern))  # --cfg-options makes a number of '4'
    if not centred or (0, 0) not in offsets:
        raise ValueError(f'neighbours={pattern!r}: a location is not its own neighbour')
    return offsets


def neighbours_of(
    points: Tensor,
    strides: Tensor,
    maps: Sequence[Tensor],
    *,
    strides_of_levels: Sequence[int],
    steps: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """What CondInst's mask heads take of the neighbours of locations; beyond the border, its locations repeat.

    Args:
        points: (N, 2) x and y of the locations, in pixels of the image.
        strides: (N,) of their levels.
        maps: the parameters of all locations of an image, (P, H, W) of each level.
        strides_of_levels: in the order of the maps.
        steps: K offsets (row, column).

    Returns:
        (N, K, P + 3) parameters, x, y and stride of the neighbours, and their indices (N, K) among all Q locations.
    """
    starts = accumulate((x[0].numel() for x in maps[:-1]), initial=0)
    table = [(stride, *x.shape[1:], start) for stride, x, start in zip(strides_of_levels, maps, starts, strict=True)]
    levels = upload(table, points.device)
    level = (strides[:, None] == levels[:, 0]).int().argmax(1)
    _, height, width, start = levels[level].unbind(1)
    moves = upload(steps, points.device)
    column, row = ((points / strides[:, None]).long()[:, :, None] + moves.flip(1).t()).unbind(1)
    row = row.clamp(min=0).minimum(height[:, None] - 1)
    column = column.clamp(min=0).minimum(width[:, None] - 1)
    cells = start[:, None] + row * width[:, None] + column
    params = torch.cat([x.flatten(1) for x in maps], 1).t()[cells]
    centres = (torch.stack([column, row], 2) + 0.5) * strides[:, None, None]
    return torch.cat([params, centres, strides[:, None, None].expand(-1, len(steps), -1)], 2), cells


@MODELS.register_module()
class AggMaskCondInstMaskHead(CondInstMaskHead):
    """CondInst's masks, aggregated; it goes with `AggMaskCondInstBboxHead`.

    Agg ends at zero when it begins to learn, so that a checkpoint of CondInst predicts as it does there.

    Args:
        *args: mmdet's.
        neighbours: as of the head of boxes.
        location_channels: D, channels of its towers.
        channels: between the layers of Agg.
        num_layers: of Agg.
        kernel_size: of Agg.
        byte_budget: bytes of the representations of a chunk in inference, which has at least one. None: as of
            `MaskPostProcessor`.
        **kwargs: mmdet's.
    """

    def __init__(
        self,
        *args: Any,
        neighbours: str = '4',
        location_channels: int = 256,
        channels: int = 4,
        num_layers: int = 3,
        kernel_size: int = 3,
        byte_budget: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        steps = steps_of(neighbours)
        self.own, self.byte_budget = steps.index((0, 0)), byte_budget
        self.spec = DynamicConvSpec(
            in_channels=len(steps) + self.in_channels,
            channels=channels,
            num_layers=num_layers,
            kernel_size=kernel_size,
        )
        self.parameters_of_net = nn.Linear(location_channels, self.spec.num_params)
        last = channels * kernel_size**2 + 1 if num_layers > 1 else self.spec.num_params
        with torch.no_grad():
            self.parameters_of_net.weight[-last:] = 0
            self.parameters_of_net.bias[-last:] = 0

    def forward_single(self, mask_feat: Tensor, positive_info: InstanceData) -> tuple[Tensor]:
        """(D', h, w) mask features and N locations -> (N, h', w') logits at the stride of the masks."""
        neighbours, cells = positive_info.pop('neighbours'), positive_info.pop('cells')
        if not len(cells):
            return super().forward_single(mask_feat, positive_info)
        _, first, place = np.unique(cells.cpu().numpy(), return_index=True, return_inverse=True)
        place = torch.from_numpy(place).view(cells.shape)
        maps = self.representations(mask_feat, neighbours.flatten(0, 1)[upload(first, cells.device)])
        params = self.parameters_of_net(positive_info.param_preds[:, self.num_params :])
        changes = dynamic_conv_of_gathered(maps, place, mask_feat, params, self.spec)
        logits = maps[upload(place[:, self.own], maps.device)] + changes
        return (aligned_bilinear(logits[None], int(self.mask_feat_stride / self.mask_out_stride))[0],)

    def representations(self, mask_feat: Tensor, given: Tensor) -> Tensor:
        """(U, P + 3) parameters, x, y and stride of locations -> (U, h, w), CondInst's logits."""
        size = mask_feat.shape[1:]
        places = self.prior_generator.single_level_grid_priors(size, 0, device=mask_feat.device)
        maps = len(mask_feat) + 2 + 2 * self.feat_channels  # inputs, and two layers
        chunk = chunk_size(4 * maps * size.numel(), budget_on(mask_feat.device, self.byte_budget))
        found = []
        for part in given.split(len(given) if torch.is_grad_enabled() else chunk):
            params, centres, strides = part.split([self.num_params, 2, 1], 1)
            distances = relative_coordinate_maps(places, centres, strides[:, 0], self.size_of_interest, size)
            inputs = torch.cat([distances, mask_feat.expand(len(part), -1, -1, -1)], 1)
            layers = self.parse_dynamic_params(params)
            found.append(self.dynamic_conv_forward(inputs.view(1, -1, *size), *layers, len(part))[0])
        return torch.cat(found)
