"""A stack of convolutions that all levels of a pyramid share, with a batch normalisation per level.

The levels have different statistics, so batch normalisation needs running statistics for each ("bn-head" of the
released BlendMask-RT); group normalisation does not.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn


class LevelConv(nn.Module):
    """3x3 convolution with bias, the level's batch normalisation, ReLU."""

    def __init__(self, *, in_channels: int, channels: int, num_levels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.bns = nn.ModuleList(build_norm_layer(norm_cfg, channels)[1] for _ in range(num_levels))

    def forward(self, x: Tensor, level: int) -> Tensor:
        """(B, C, h, w) of a level, and its index -> (B, C', h, w)."""
        return F.relu(self.bns[level](self.conv(x)), inplace=True)


class LevelTower(nn.ModuleList):
    """`num_convs` times `LevelConv`; the size of the maps stays.

    Args:
        in_channels: channels of the input.
        channels: channels of every layer's output.
        num_convs: number of layers.
        num_levels: number of levels.
        norm_cfg: the normalisation of a level, BN or SyncBN.
        init_std: standard deviation of the initial weights; None: He's initialisation (see `ConvTower`).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_convs: int,
        num_levels: int,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (never changed)
        init_std: float | None = 0.01,
    ) -> None:
        super().__init__(
            LevelConv(
                in_channels=in_channels if i == 0 else channels,
                channels=channels,
                num_levels=num_levels,
                norm_cfg=norm_cfg,
            )
            for i in range(num_convs)
        )
        self.init_std = init_std

    def on_levels(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """The outputs (B, C, h, w) on every level of a pyramid."""
        outputs = []
        for level, x in enumerate(feats):
            for layer in self:
                x = layer(x, level)
            outputs.append(x)
        return outputs

    def init_weights(self) -> None:
        """Weights by `init_std`, biases of zero."""
        for layer in self:
            if self.init_std is None:
                nn.init.kaiming_normal_(layer.get_parameter('conv.weight'), nonlinearity='relu')
            else:
                nn.init.normal_(layer.get_parameter('conv.weight'), std=self.init_std)
            nn.init.zeros_(layer.get_parameter('conv.bias'))
