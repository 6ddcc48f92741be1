"""Context that guides the aggregation: a few channels that sum up the pyramid (AggMask, Sec. 4, F_c in Eq. 4).

Shape shorthand: B images, C channels, (H2, W2) size of P2, (H, W) mask size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks
from mmagg.ops import interpolation_matrix
from mmagg.ops.stage import stage

SOURCES = ('pyramid', 'mask_features')


class Context:
    """A context map at the sizes that the levels' masks have, each made when it is first asked for.

    Args:
        feature: lazy (B, C, H2, W2).
    """

    def __init__(self, feature: Lazy) -> None:
        self._feature = feature
        self._resized = {}

    def at(self, image: int, size: tuple[int, int]) -> Tensor:
        """(C, H, W) of one image."""
        if size not in self._resized:
            # align_corners=True: the original trains with it, here and below.
            self._resized[size] = (
                self._feature.value
                if self._feature.value.shape[-2:] == size
                else F.interpolate(self._feature.value, size=size, mode='bilinear', align_corners=True)
            )
        return self._resized[size][image]


@MODELS.register_module(name='MultiLevelContext')
class AggMaskContext(BaseModule):
    """1x1 convolutions over all levels of the pyramid at P2's size.

    As the paper has it, F_c = reduce(fuse(concat(P2, upsample(P3), ..., upsample(P6)))) (AggMask, F_c in Eq. 4).

    PyTorch's default initialisation stays, as in the release.

    Args:
        in_channels: channels of a level (of the mask features, with that source).
        num_levels: levels of the pyramid.
        channels: C.
        hidden_channels: of a first convolution with GroupNorm and ReLU before the one to C channels ("ctx2" of the
            release); None: one convolution only ("ctx1", and Table 4's model).
        num_groups: of the GroupNorm.
        source: 'pyramid', or 'mask_features' for those of a `DynamicMaskBranch` (a switch of the release).

    Raises:
        ValueError: unknown `source`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int = 5,
        channels: int = 16,
        hidden_channels: int | None = 256,
        num_groups: int = 32,
        source: str = 'pyramid',
    ) -> None:
        super().__init__()
        if source not in SOURCES:
            raise ValueError(f'source is {source!r}; the context comes from one of {SOURCES}')
        self.in_channels, self.channels, self.source = in_channels, channels, source
        inputs = in_channels * (num_levels if source == 'pyramid' else 1)
        self.fuse = PyramidConv(inputs, hidden_channels or channels, 1)
        self.reduce = nn.Identity()
        if hidden_channels is not None:
            self.reduce = nn.Sequential(
                nn.GroupNorm(num_groups, hidden_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden_channels, channels, 1),
            )

    def forward(self, feats: Sequence[Tensor], masks: Sequence[LocalMasks]) -> Context:
        """Lazy context.

        Args:
            feats: the pyramid from P2 on, each (B, in_channels, h, w).
            masks: the levels' local masks, asked for their features with that source.

        Raises:
            TypeError: the source is 'mask_features' and the masks have none.
        """
        if self.source == 'mask_features':
            if masks[0].mask_features is None:
                raise TypeError("context: source 'mask_features' needs a DynamicMaskBranch (SOLOv2)")
            feats = [masks[0].mask_features]
        return Context(Lazy(lambda: self.fused(feats)))

    @stage('context')
    def fused(self, feats: Sequence[Tensor]) -> Tensor:
        """Levels (B, in_channels, h, w), the first of size (H2, W2) -> (B, C, H2, W2)."""
        return self.reduce(self.fuse(feats)).relu_()


class PyramidConv(nn.Conv2d):
    """A 1x1 convolution of a pyramid's levels, concatenated at the size of the first one.

    It is linear and a pixel's interpolation weights sum to one, so each level has its share before it is upsampled.
    """

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Levels (B, C, h, w), the first of size (H2, W2) -> (B, out_channels, H2, W2)."""
        first, *others = self.weight.split(self.in_channels // len(feats), dim=1)
        total = F.conv2d(feats[0], first, self.bias)
        shares = [F.conv2d(x, weight) for x, weight in zip(feats[1:], others, strict=True)]
        return add_upsampled(total, shares) if shares else total


def add_upsampled(total: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Add maps that are upsampled bilinearly (align_corners=True) to the size of what they are added to.

    Bilinear interpolation is one of the columns, then one of the rows; that of the rows is a matrix product, and one
    product interpolates and adds all of the maps.

    Args:
        total: (B, C, H, W), which may be overwritten.
        maps: each (B, C, h, w), of any size.

    Returns:
        (B, C, H, W).
    """
    height, width = total.shape[2:]
    wide = [F.interpolate(x, size=(x.shape[2], width), mode='bilinear', align_corners=True) for x in maps]
    rows = [interpolation_matrix(x.shape[2], height, align_corners=True, like=x) for x in maps]
    stacked = torch.cat(wide, dim=2).permute(0, 2, 3, 1)  # (B, all rows, W, C)
    lines = total.permute(0, 2, 3, 1)  # in a channels_last model, as they lie in memory
    summed = lines.flatten(2).baddbmm_(torch.cat(rows, dim=1).expand(len(total), -1, -1), stacked.flatten(2))
    return summed.view_as(lines).permute(0, 3, 1, 2)
