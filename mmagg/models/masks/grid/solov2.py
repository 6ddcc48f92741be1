"""SOLOv2's masks: mask features that all levels share, convolved with the kernel that each cell predicts.

    M_ij = G_ij ∗ F                                                   G: mask kernels (D, 1, 1), F: mask features

Shape shorthand: B images, C channels, D mask feature channels, S grid side, (H, W) mask size.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule, normal_init
from torch import Tensor, nn

from mmagg.models.layers import ConvTower
from mmagg.models.masks.grid.local_masks import Lazy, LocalMasks, project, weight_for_windows
from mmagg.ops import append_coordinates, conv_at


class SOLOv2Masks(LocalMasks):
    """Masks of one level; the kernels of the cells asked for are predicted from the kernel tower's output.

    Args:
        features: lazy (B, D, H, W) mask features.
        kernel_features: lazy (B, C, S, S) output of the kernel tower.
        conv_kernel: convolution from C to D channels, which predicts the kernels.
        weight: its weight, see `weight_for_windows`.
        stride: pixels of the network's input per mask pixel.
    """

    mask_features: Tensor
    kernel_features: Lazy

    def __init__(
        self, features: Lazy, kernel_features: Lazy, conv_kernel: nn.Conv2d, weight: Lazy, *, stride: int
    ) -> None:
        self.features, self.mask_features = features, features.value
        self.kernel_features, self.conv_kernel, self.weight = kernel_features, conv_kernel, weight
        self.size, self.stride = (self.mask_features.shape[-2], self.mask_features.shape[-1]), stride

    def at(self, image: int, cells: Tensor) -> Tensor:
        features = self.kernel_features.images[image][None]
        kernels = conv_at(features, cells, self.weight.value, self.conv_kernel.bias)  # (N, D)
        return project(self.features.images[image], kernels)


class MaskFeatures(BaseModule):
    """The mask feature branch, from P2 to P5 at stride 4 (SOLOv2, Fig. 3).

    Every level is convolved and doubled in size until it is as large as P2, then all are summed; pixel coordinates are
    concatenated to the last level. Where the input's size is no multiple of 32, a doubled level may have a row or a
    column more than the next finer one has: that is cut off, so that what remains stays in its place.

    Args:
        in_channels: channels of the pyramid.
        channels: channels of the branches.
        out_channels: D.
        num_levels: number of levels, from P2 on.
        norm_cfg: normalisation of the branches' convolutions and of the last one.
        branch_norm: normalise in the branches too; without it, they have no bias either (early SOLOv2).
        conv_cfg: kind of convolution, for instance `dict(type='DCNv2')`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        out_channels: int,
        num_levels: int,
        norm_cfg: dict | None,
        branch_norm: bool,
        conv_cfg: dict | None,
    ) -> None:
        super().__init__(init_cfg=dict(type='Normal', layer='Conv2d', std=0.01))

        def conv(inputs: int) -> ConvModule:
            return ConvModule(
                inputs,
                channels,
                3,
                padding=1,
                bias='auto' if branch_norm else False,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg if branch_norm else None,
                inplace=False,
            )

        self.branches: Any = nn.ModuleList([nn.ModuleList([conv(in_channels)])])
        for level in range(1, num_levels):
            first = conv(in_channels + 2 * (level == num_levels - 1))
            self.branches.append(nn.ModuleList([first, *(conv(channels) for _ in range(level - 1))]))
        self.conv_pred = ConvModule(channels, out_channels, 1, conv_cfg=conv_cfg, norm_cfg=norm_cfg)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """P2, P3, ..., each (B, C, h, w) -> (B, D, h, w) of P2's size."""
        total = self.branches[0][0](feats[0])
        for i, branch in enumerate(self.branches[1:], start=1):
            x = append_coordinates(feats[i]) if i == len(self.branches) - 1 else feats[i]
            for conv, finer in zip(branch, reversed(feats[:i]), strict=True):
                x = self.doubled(conv(x), finer)
            total = total + x
        # Contiguous also in a channels_last model, for the matrix product of `project`.
        return self.conv_pred(total).contiguous()

    def doubled(self, x: Tensor, finer: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2h, 2w), cut to the size of the next finer level."""
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        return x[..., : finer.shape[-2], : finer.shape[-1]]


@MODELS.register_module(name='DynamicMaskBranch')
class SOLOv2MaskBranch(BaseModule):
    """Mask branch of SOLOv2: mask features, and a tower at the grid's size that predicts a kernel per cell.

    Args:
        in_channels: channels of the pyramid.
        grids: grid side S of each level.
        strides: strides of the levels; only their number matters, since all masks are at `mask_stride`.
        channels: channels of the kernel tower.
        num_convs: layers of the kernel tower.
        feature_channels: channels within the mask feature branches.
        out_channels: D, channels of the mask features and length of a kernel.
        feature_levels: pyramid levels that make the mask features, from P2 on.
        feature_branch_norm: normalise in the mask feature branches; False, with `kernel_size=1` and 256 channels
            everywhere, is the early SOLOv2 of the AggMask release.
        kernel_size: of the convolution that predicts the kernels: 3, or 1 in early SOLOv2.
        mask_stride: stride of P2, hence of the masks.
        norm_cfg: normalisation of the kernel tower and of the mask features.
        dcn_cfg: deformable convolution in the kernel tower.
        dcn_layers: its layers, 'all' or the 'last' (SOLOv2 light).
        feature_conv_cfg: kind of convolution in the mask features.
        init_std: standard deviation of the kernel tower's initial weights, see `ConvTower`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        grids: Sequence[int],
        strides: Sequence[int],
        channels: int = 512,
        num_convs: int = 4,
        feature_channels: int = 128,
        out_channels: int = 256,
        feature_levels: int = 4,
        feature_branch_norm: bool = True,
        kernel_size: int = 3,
        mask_stride: int = 4,
        norm_cfg: dict | None = dict(type='GN', num_groups=32),  # noqa: B006
        dcn_cfg: dict | None = None,
        dcn_layers: str = 'all',
        feature_conv_cfg: dict | None = None,
        init_std: float | None = 0.01,
    ) -> None:
        super().__init__()
        if len(grids) != len(strides):
            raise ValueError(f'{len(grids)} grids for {len(strides)} levels; give one grid per level')
        self.grids, self.mask_stride = tuple(grids), mask_stride
        self.mask_features = MaskFeatures(
            in_channels=in_channels,
            channels=feature_channels,
            out_channels=out_channels,
            num_levels=feature_levels,
            norm_cfg=norm_cfg,
            branch_norm=feature_branch_norm,
            conv_cfg=feature_conv_cfg,
        )
        self.tower = ConvTower(
            in_channels=in_channels + 2,
            channels=channels,
            num_convs=num_convs,
            norm_cfg=norm_cfg,
            dcn_cfg=dcn_cfg,
            dcn_layers=dcn_layers,
            init_std=init_std,
        )
        self.conv_kernel = nn.Conv2d(channels, out_channels, kernel_size, padding=kernel_size // 2)

    def init_weights(self) -> None:
        """N(0, 0.01) for all convolutions; the tower by `init_std`."""
        super().init_weights()
        normal_init(self.conv_kernel, std=0.01)

    def tower_output(self, level: Tensor, grid: int) -> Tensor:
        """(B, C, h, w) pyramid level -> (B, C', S, S) output of the kernel tower."""
        # The coordinates are resized with the features, as in the release.
        cells = F.interpolate(append_coordinates(level), size=(grid, grid), mode='bilinear', align_corners=False)
        return self.tower(cells)

    def forward(self, feats: Sequence[Tensor], levels: Sequence[Tensor]) -> list[LocalMasks]:
        """Lazy masks of every level.

        Args:
            feats: the pyramid from P2 on, each (B, C, h, w).
            levels: the pyramid resized to the head's strides.

        Returns:
            one `LocalMasks` per level, all of P2's size.
        """
        features, weight = Lazy(lambda: self.mask_features(feats)), weight_for_windows(self.conv_kernel)
        return [
            SOLOv2Masks(
                features,
                Lazy(partial(self.tower_output, level, grid)),
                self.conv_kernel,
                weight,
                stride=self.mask_stride,
            )
            for level, grid in zip(levels, self.grids, strict=True)
        ]
