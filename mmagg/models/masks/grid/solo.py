"""SOLO's masks: one output channel of the last 1x1 convolution per grid cell (SOLO, Fig. 3).

    M = conv(upsample(tower(concat(level, coordinates))))             (S², 2h, 2w); channel k = i · S + j is M_ij

Shape shorthand: B images, C channels, S grid side, (h, w) feature size.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule, bias_init_with_prob, normal_init
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks, project, some_outputs


class SOLOMasks(LocalMasks):
    """Masks of one level from the tower's output (B, C, h, w) and a 1x1 convolution to S² channels.

    Upsampling and convolution are linear and the interpolation's weights sum to one: convolving first gives the same
    maps, on a quarter of the pixels, and only the channels asked for are computed.
    """

    def __init__(self, features: Lazy, conv: nn.Conv2d, size: tuple[int, int], stride: int) -> None:
        self.features, self.conv = features, conv
        self.size, self.stride = size, stride

    def at(self, image: int, cells: Tensor) -> Tensor:
        small = self.small_at(image, cells)[:, None]
        return F.interpolate(small, size=self.size, mode='bilinear', align_corners=False)[:, 0]

    def small_at(self, image: int, cells: Tensor) -> Tensor:
        weight, bias = some_outputs(self.conv, cells)
        return project(self.features.images[image], weight.flatten(1), bias)


@MODELS.register_module(name='StaticMaskBranch')
class SOLOMaskBranch(BaseModule):
    """Mask branch of SOLO: a tower with CoordConv that all levels share, then a 1x1 convolution per level.

    Args:
        in_channels: channels of the pyramid.
        grids: grid side S of each level.
        strides: stride of each level's features; that of its masks is half of it.
        channels: channels of the tower.
        num_convs: layers of the tower.
        coordinates: number of the tower's first layers that pixel coordinates are concatenated to the input of, so
            True is the first alone and False none (SOLO, Table 3, compares 0 to 3).
        norm_cfg: normalisation of the tower.
        init_std: standard deviation of the tower's initial weights, see `ConvTower`.
        map_init_std: the same for the last convolutions, whose biases then give a probability of 0.01 (the release);
            None: PyTorch's default for both. Under an aggregator, where the maps are representations, short trainings
            learn faster from the latter: with the former all maps are nearly the same constant.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        grids: Sequence[int],
        strides: Sequence[int],
        channels: int = 256,
        num_convs: int = 7,
        coordinates: int = 1,
        norm_cfg: dict | None = dict(type='GN', num_groups=32),  # noqa: B006
        init_std: float | None = 0.01,
        map_init_std: float | None = 0.01,
    ) -> None:
        super().__init__()
        self.map_init_std = map_init_std
        self.grids, self.strides = tuple(grids), tuple(strides)
        self.tower = ConvTower(
            in_channels=in_channels,
            channels=channels,
            num_convs=num_convs,
            norm_cfg=norm_cfg,
            coord_convs=int(coordinates),
            init_std=init_std,
        )
        self.convs: Any = nn.ModuleList(nn.Conv2d(channels, grid**2, 1) for grid in grids)

    def init_weights(self) -> None:
        """By `init_std` and `map_init_std`."""
        super().init_weights()
        if self.map_init_std is not None:
            init_mask_convs(self.convs, self.map_init_std)

    def features(self, level: Tensor) -> Tensor:
        """(B, C, h, w) pyramid level -> (B, C', h, w) tower output."""
        # Contiguous also in a channels_last model, for the matrix product of `project`.
        return self.tower(level).contiguous()

    def forward(self, feats: Sequence[Tensor], levels: Sequence[Tensor]) -> list[LocalMasks]:
        """Lazy masks of every level.

        Args:
            feats: the pyramid, unused.
            levels: the pyramid resized to `strides`, each (B, C, h, w).

        Returns:
            one `LocalMasks` of size (2h, 2w) per level; the tower runs on a level when a mask of it is first asked for.
        """
        return [
            SOLOMasks(Lazy(partial(self.features, level)), conv, double(level), stride // 2)
            for level, conv, stride in zip(levels, self.convs, self.strides, strict=True)
        ]


def double(level: Tensor) -> tuple[int, int]:
    """Twice the height and width of a feature map (..., h, w)."""
    return 2 * level.shape[-2], 2 * level.shape[-1]


def init_mask_convs(convs: nn.ModuleList, std: float = 0.01) -> None:
    """N(0, std) weights, and biases of a prior probability of 0.01."""
    for conv in convs:
        normal_init(conv, std=std, bias=bias_init_with_prob(0.01))
