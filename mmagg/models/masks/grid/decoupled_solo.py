"""Decoupled SOLO's masks: the product of a column map and a row map (SOLO, Sec. 4, Eq. 5).

The mask of cell k = i · S + j is the product of two maps, m_k = σ(x_j) · σ(y_i); losses take its logit.

Shape shorthand: B images, N cells asked for, C channels, S grid side, (h, w) feature size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks
from mmagg.models.masks.grid.solo import double, init_mask_convs
from mmagg.ops import append_coordinates, resize_masks


class AxisMaps:
    """The S maps of one axis at one level, of which only those asked for are computed.

    Args:
        features: lazy (B, C, 2h, 2w) upsampled tower output.
        conv: 3x3 convolution with S rows.
    """

    def __init__(self, features: Lazy, conv: nn.Conv2d) -> None:
        self._features, self._conv = features, conv

    def at(self, image: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) long -> the U distinct maps as logits (U, 2h, 2w), and (N,) the place of each among them."""
        # A column serves every cell above and below: compute it once.
        distinct, place = torch.unique(index, return_inverse=True)
        features = self._features.value[image, None]
        if len(distinct) == 0:  # F.conv2d refuses
            return features.new_zeros(0, *features.shape[2:]), place
        return F.conv2d(features, self._conv.weight[distinct], self._conv.bias[distinct], padding=1)[0], place


class DecoupledSOLOMasks(LocalMasks):
    """Masks of one level: m = sigmoid(x_j) * sigmoid(y_i) for the cell in row i and column j (SOLO, Eq. 5)."""

    def __init__(self, x: AxisMaps, y: AxisMaps, grid: int, size: tuple[int, int], stride: int) -> None:
        self._x, self._y, self._grid = x, y, grid
        self.size, self.stride = size, stride

    def at(self, image: int, cells: Tensor) -> Tensor:
        (x, column), (y, row) = self._x.at(image, cells % self._grid), self._y.at(image, cells // self._grid)
        return product_logit(x[column], y[row])

    def probs_at(self, image: int, cells: Tensor, size: tuple[int, int]) -> Tensor:
        # The authors resize the two maps before they multiply them; that differs from resizing the product.
        (x, column), (y, row) = self._x.at(image, cells % self._grid), self._y.at(image, cells // self._grid)
        x, y = (resize_masks(maps.sigmoid(), size=size) for maps in (x, y))
        return x[column] * y[row]


def product_logit(x: Tensor, y: Tensor) -> Tensor:
    """The logit of sigmoid(x) * sigmoid(y), without leaving log space: -log(e^-x + e^-y + e^-(x+y))."""
    precise = torch.promote_types(x.dtype, torch.float32)  # not in half precision
    x, y = -x.to(precise), -y.to(precise)
    return -torch.logaddexp(torch.logaddexp(x, y), x + y)


@MODELS.register_module(name='DecoupledMaskBranch')
class DecoupledSOLOMaskBranch(BaseModule):
    """Mask branch of Decoupled SOLO: S column maps and S row maps per level instead of S² maps.

    Args:
        in_channels: channels of the pyramid.
        grids: grid side S of each level.
        strides: stride of each level's features; its masks have half of it.
        channels: channels of the towers.
        num_convs: layers of the towers.
        shared_tower: one tower that sees both coordinates for both axes (Decoupled SOLO Light), instead of a
            tower per axis that sees the coordinate of its axis.
        norm_cfg: normalisation of the towers.
        init_std: of the tower's weights, see `ConvTower`.
        dcn_cfg: deformable convolution for the last layer of a tower.
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
        self.towers = nn.ModuleDict(
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
        self.convs_x = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)
        self.convs_y = nn.ModuleList(nn.Conv2d(channels, grid, 3, padding=1) for grid in grids)

    def init_weights(self) -> None:
        """N(0, 0.01) for all convolutions; each axis starts with a probability of 0.01."""
        for tower in self.towers.values():
            tower.init_weights()
        init_mask_convs(self.convs_x)
        init_mask_convs(self.convs_y)

    def features(self, level: Tensor, axes: str) -> Tensor:
        """(B, C, h, w) pyramid level -> (B, C', 2h, 2w) output of the tower that sees `axes`, upsampled."""
        maps = self.towers[axes](append_coordinates(level, axes))
        return F.interpolate(maps, scale_factor=2, mode='bilinear', align_corners=False)

    def forward(self, feats: Sequence[Tensor], levels: Sequence[Tensor]) -> list[LocalMasks]:
        """Lazy masks of every level; arguments and result as in `StaticMaskBranch`."""
        masks = []
        for level, grid, stride, conv_x, conv_y in zip(
            levels, self.grids, self.strides, self.convs_x, self.convs_y, strict=True
        ):
            features = {axes: Lazy(lambda level=level, axes=axes: self.features(level, axes)) for axes in self.towers}
            first, last = features[next(iter(features))], features[next(reversed(features))]
            masks.append(
                DecoupledSOLOMasks(AxisMaps(first, conv_x), AxisMaps(last, conv_y), grid, double(level), stride // 2)
            )
        return masks
