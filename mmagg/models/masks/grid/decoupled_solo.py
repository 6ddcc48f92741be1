"""Decoupled SOLO's masks: the product of a column map and a row map (SOLO, Sec. 4, Eq. 5).

    m_k = σ(x_j) · σ(y_i)                                             of cell k = i · S + j; the loss takes its logit

Shape shorthand: B images, N cells asked for, C channels, S grid side, (h, w) feature size.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks, some_outputs
from mmagg.models.masks.grid.solo import double, init_mask_convs
from mmagg.ops import append_coordinates, resize_masks, upload


class AxisMaps:
    """The maps of one axis at one level: lazy (B, C, 2h, 2w) upsampled tower output, 3x3 convolution to S channels."""

    def __init__(self, features: Lazy, conv: nn.Conv2d) -> None:
        self.features, self.conv = features, conv

    def at(self, image: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) columns or rows -> logits of the U distinct maps (U, 2h, 2w), and (N,) the index of each among them."""
        distinct, place = torch.unique(index, return_inverse=True)
        features = self.features.images[image][None]
        place = upload(place, features.device)
        if len(distinct) == 0:  # F.conv2d refuses
            return features.new_zeros(0, *features.shape[2:]), place
        return F.conv2d(features, *some_outputs(self.conv, distinct), padding=1)[0], place


class DecoupledSOLOMasks(LocalMasks):
    """Masks of one level from its column maps x and row maps y (SOLO, Eq. 5)."""

    def __init__(self, x: AxisMaps, y: AxisMaps, grid: int, size: tuple[int, int], stride: int) -> None:
        self.x, self.y, self.grid = x, y, grid
        self.size, self.stride = size, stride

    def at(self, image: int, cells: Tensor) -> Tensor:
        (x, column), (y, row) = self.x.at(image, cells % self.grid), self.y.at(image, cells // self.grid)
        return product_logit(x[column], y[row])

    def probs_at(self, image: int, cells: Tensor, size: tuple[int, int]) -> Tensor:
        # As in the release: the maps are resized, then multiplied, which differs from resizing the product.
        (x, column), (y, row) = self.x.at(image, cells % self.grid), self.y.at(image, cells // self.grid)
        x, y = (resize_masks(maps.sigmoid(), size=size) for maps in (x, y))
        return x[column] * y[row]


def product_logit(x: Tensor, y: Tensor) -> Tensor:
    """The logit of σ(x) · σ(y), computed in log space: -log(e^-x + e^-y + e^-(x+y))."""
    precise = torch.promote_types(x.dtype, torch.float32)  # not in half precision
    x, y = -x.to(precise), -y.to(precise)
    return -torch.logaddexp(torch.logaddexp(x, y), x + y)


@MODELS.register_module(name='DecoupledMaskBranch')
class DecoupledSOLOMaskBranch(BaseModule):
    """Mask branch of Decoupled SOLO: S column maps and S row maps per level instead of S² maps.

    Args (the others are those of `SOLOMaskBranch`):
        shared_tower: one tower for both axes, with both coordinates (Decoupled SOLO Light), instead of a tower per axis
            with the coordinate of its axis.
        dcn_cfg: deformable convolution for the last layer of a tower; None for none.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        grids: Sequence[int],
        strides: Sequence[int],
        channels: int = 256,
        num_convs: int = 7,
        shared_tower: bool = False,
        norm_cfg: dict | None = dict(type='GN', num_groups=32),  # noqa: B006
        dcn_cfg: dict | None = None,
        init_std: float | None = 0.01,
    ) -> None:
        super().__init__()
        self.grids, self.strides = tuple(grids), tuple(strides)
        self.towers: Any = nn.ModuleDict(
            {
                axes: ConvTower(
                    in_channels=in_channels + len(axes),
                    channels=channels,
                    num_convs=num_convs,
                    norm_cfg=norm_cfg,
                    dcn_cfg=dcn_cfg,
                    dcn_layers='last',
                    init_std=init_std,
                )
                for axes in (['xy'] if shared_tower else ['x', 'y'])
            }
        )
        self.convs_x: Any = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)
        self.convs_y: Any = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)

    def init_weights(self) -> None:
        """Towers by `init_std`; the maps of each axis start with a probability of 0.01."""
        for tower in self.towers.values():
            tower.init_weights()
        init_mask_convs(self.convs_x)
        init_mask_convs(self.convs_y)

    def features(self, level: Tensor, axes: str) -> Tensor:
        """(B, C, h, w) pyramid level -> (B, C', 2h, 2w) upsampled output of the tower with the coordinates `axes`."""
        maps = self.towers[axes](append_coordinates(level, axes))
        return F.interpolate(maps, scale_factor=2, mode='bilinear', align_corners=False)

    def forward(self, feats: Sequence[Tensor], levels: Sequence[Tensor]) -> list[LocalMasks]:
        """Lazy masks of every level; arguments and result as in `StaticMaskBranch`."""
        masks: list[LocalMasks] = []
        for level, grid, stride, conv_x, conv_y in zip(
            levels, self.grids, self.strides, self.convs_x, self.convs_y, strict=True
        ):
            features = {axes: Lazy(partial(self.features, level, axes)) for axes in self.towers}
            first, last = features[next(iter(features))], features[next(reversed(features))]
            masks.append(
                DecoupledSOLOMasks(AxisMaps(first, conv_x), AxisMaps(last, conv_y), grid, double(level), stride // 2)
            )
        return masks
