"""One level instead of a pyramid (SOLO, Table 2)."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class MergedLevel(BaseModule):
    """Merges a backbone's stages into one map of the first stage's size: C3, C4 and C5 at stride 8.

    The paper does not say how; here as in FPN: 1x1 convolutions, bilinear upsampling, sum, 3x3 convolution.

    Args:
        in_channels: channels of each stage.
        out_channels: channels of the result.
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__(init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'))
        self.laterals = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.conv = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, stages: Sequence[Tensor]) -> tuple[Tensor]:
        """Stages (B, C_i, h_i, w_i) -> a tuple of one (B, out_channels, h_0, w_0)."""
        maps = [lateral(stage) for lateral, stage in zip(self.laterals, stages, strict=True)]
        size = maps[0].shape[-2:]
        return (self.conv(sum(F.interpolate(x, size=size, mode='bilinear', align_corners=False) for x in maps)),)
