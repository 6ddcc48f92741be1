"""The context F_c that guides the aggregation: a few channels from all levels of the pyramid (AggMask, Eq. 4).

    F_c = reduce(fuse(concat(P2, upsample(P3), ..., upsample(P6))))   (C, H2, W2)

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
    """Lazy (B, C, H2, W2) context, resized to the size of each level's masks when it is first asked for."""

    def __init__(self, feature: Lazy) -> None:
        self.feature = feature
        self._resized: dict[tuple[int, int], tuple[Tensor, ...]] = {}

    def at(self, image: int, size: tuple[int, int]) -> Tensor:
        """(C, H, W) of one image."""
        if size not in self._resized:
            self._resized[size] = self.resized(size).unbind()
        return self._resized[size][image]

    def resized(self, size: Sequence[int]) -> Tensor:
        """(B, C, H, W)."""
        context = self.feature.value
        if context.shape[-2:] == tuple(size):
            return context
        # align_corners=True as in the release, here and below.
        return F.interpolate(context, size=tuple(size), mode='bilinear', align_corners=True)


@MODELS.register_module(name='MultiLevelContext')
class AggMaskContext(BaseModule):
    """1x1 convolutions over all levels of the pyramid at P2's size, with PyTorch's default initialisation (release).

    Args:
        in_channels: channels of a level, or of the mask features.
        num_levels: levels of the pyramid.
        channels: C.
        hidden_channels: channels of a first convolution, with GroupNorm and ReLU ("ctx2" in the release); None: one
            convolution only ("ctx1" in the release, and the model of AggMask, Table 4).
        num_groups: groups of the GroupNorm.
        source: 'pyramid'; 'mask_features', SOLOv2's (a switch of the release).

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
        self.reduce: nn.Module = nn.Identity()
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
            masks: the levels' representations.

        Raises:
            TypeError: the source is 'mask_features', but the masks have none.
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
    """Convolves the levels of a pyramid, upsampled to the first one's size and concatenated, by 1x1.

    Convolution and upsampling are linear: each level is convolved by its share of the weights before it is upsampled.
    """

    def forward(self, feats: Sequence[Tensor]) -> Tensor:  # type: ignore[override]  # of several maps
        """Levels (B, C, h, w), the first of size (H2, W2) -> (B, out_channels, H2, W2)."""
        first, *others = self.weight.split(self.in_channels // len(feats), dim=1)
        total = F.conv2d(feats[0], first, self.bias)
        shares = [F.conv2d(x, weight) for x, weight in zip(feats[1:], others, strict=True)]
        return add_upsampled(total, shares) if shares else total


def add_upsampled(total: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """total + Σ upsample(map), bilinearly (align_corners=True) to the size of `total`.

    Columns are interpolated first; then a single matrix product interpolates the rows of all maps and adds them up.

    Args:
        total: (B, C, H, W); may be overwritten.
        maps: each (B, C, h, w), of any size.

    Returns:
        (B, C, H, W).
    """
    height, width = total.shape[2:]
    wide = [F.interpolate(x, size=(x.shape[2], width), mode='bilinear', align_corners=True) for x in maps]
    rows = [interpolation_matrix(x.shape[2], height, align_corners=True, like=x) for x in maps]
    stacked = torch.cat(wide, dim=2).permute(0, 2, 3, 1)  # (B, all rows, W, C)
    lines = total.permute(0, 2, 3, 1)  # in a channels_last model, as they lie in memory
    # CUDA's autocast interpolates in float32, also what was convolved in half precision.
    matrix, stacked = torch.cat(rows, dim=1).to(total.dtype), stacked.to(total.dtype)
    summed = lines.flatten(2).baddbmm_(matrix.expand(len(total), -1, -1), stacked.flatten(2))
    return summed.view_as(lines).permute(0, 3, 1, 2)
