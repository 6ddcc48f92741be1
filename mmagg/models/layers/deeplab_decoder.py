"""The decoder of DeepLabV3+ as bottom module (BlendMask, Sec. 3.1, Tables 1 to 7).

It follows the two papers; BlendMask's release does not have it.

Shape shorthand: B images, C channels, K bases, (h, w) size of the fine level, (h', w') of the coarse one.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers.proto_net import init_blocks


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLabV3, Sec. 3.3).

    A 1x1 convolution, a dilated 3x3 convolution per rate and the mean of the map side by side, merged by a 1x1
    convolution.

    Args:
        in_channels: channels of the input.
        channels: channels of each branch and of the output.
        dilations: rates of the 3x3 convolutions.
        norm_cfg: normalisation. The branch of the mean has a bias instead: with a single pixel per image, BatchNorm
            fails for one image per GPU, and for two it leaves only the sign of their difference.
    """

    def __init__(self, *, in_channels: int, channels: int, dilations: Sequence[int], norm_cfg: dict) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg)]
            + [ConvModule(in_channels, channels, 3, padding=d, dilation=d, norm_cfg=norm_cfg) for d in dilations]
        )
        self.image = ConvModule(in_channels, channels, 1)
        self.merge = ConvModule(channels * (len(dilations) + 2), channels, 1, norm_cfg=norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C', h', w') -> (B, C, h', w')."""
        image = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.merge(torch.cat([*(branch(x) for branch in self.branches), image], dim=1))


@MODELS.register_module()
class DeepLabDecoder(BaseModule):
    """Bases from a coarse level with context and a fine level with detail, at the size of the fine one.

    ASPP on the coarse level; its upsampled output and the reduced fine level pass two 3x3 blocks (convolution,
    normalisation, ReLU) and a 1x1 convolution. Initialised as `ProtoNet`.

    Args:
        in_channels: channels of the fine and of the coarse level.
        levels: their indices among the neck's levels: (0, 2) of P3, P4, P5. A `BypassNeck` has backbone maps behind
            those of the pyramid.
        channels: channels of the ASPP and of the blocks.
        low_channels: channels that the fine level is reduced to.
        dilations: rates of the ASPP; by default those of DeepLabV3+ for a coarse level of stride 16. BlendMask does not
            name its own for C5 and P5, of stride 32.
        num_bases: K.
        norm_cfg: normalisation; its convolutions have no bias.
    """

    def __init__(
        self,
        *,
        in_channels: tuple[int, int] = (256, 256),
        levels: tuple[int, int] = (0, 2),
        channels: int = 128,
        low_channels: int = 48,
        dilations: Sequence[int] = (6, 12, 18),
        num_bases: int = 4,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (never changed)
    ) -> None:
        super().__init__()
        low, high = in_channels
        self.low_level, self.high_level = levels
        self.num_bases = num_bases
        self.aspp = ASPP(in_channels=high, channels=channels, dilations=dilations, norm_cfg=norm_cfg)
        self.reduce = ConvModule(low, low_channels, 1, norm_cfg=norm_cfg)
        self.tower = nn.Sequential(
            ConvModule(channels + low_channels, channels, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg),
        )
        self.conv_bases = nn.Conv2d(channels, num_bases, 1)

    def init_weights(self) -> None:
        """Convolutions as `init_blocks` has them."""
        super().init_weights()
        init_blocks(self)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """The neck's levels (B, C_i, h_i, w_i) -> (B, K, h, w) bases."""
        low = self.reduce(feats[self.low_level])
        high = self.aspp(feats[self.high_level])
        high = F.interpolate(high, size=low.shape[-2:], mode='bilinear', align_corners=False)
        return self.conv_bases(self.tower(torch.cat([high, low], dim=1)))
