"""Auxiliary semantic segmentation, for training only ("+semantic" in BlendMask, Table 7).

Shape shorthand: B images, C classes without background, (h, w) size of the level.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class SemanticHead(BaseModule):
    """Classifies the pixels of one level: two 3x3 blocks (convolution, normalisation, ReLU) and a 1x1 convolution.

    Args:
        num_classes: C.
        in_channels: channels of the level.
        channels: channels of the blocks.
        level: index of the level among the neck's.
        stride: pixels of the network's input per pixel of the level, hence of the targets.
        norm_cfg: normalisation; its convolutions have no bias.
        loss_weight: weight of the loss.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        channels: int = 128,
        level: int = 0,
        stride: int = 8,
        norm_cfg: dict = dict(type='BN'),  # noqa: B006 (never changed)
        loss_weight: float = 0.3,
    ) -> None:
        super().__init__()
        self.level, self.stride, self.loss_weight = level, stride, loss_weight
        self.convs = nn.Sequential(
            ConvModule(in_channels, channels, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg),
        )
        self.conv_logits = nn.Conv2d(channels, num_classes + 1, 1)

    def init_weights(self) -> None:
        """PyTorch's default, as in the release, instead of mmcv's."""
        super().init_weights()
        for module in self.convs.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """The neck's levels (B, C', h_i, w_i) -> (B, C + 1, h, w) logits; background is class 0."""
        return self.conv_logits(self.convs(feats[self.level]))

    def loss(self, feats: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Cross-entropy, averaged over all pixels; `targets` (B, h, w) long, see `targets.semantic_target`."""
        logits = self(feats).float().movedim(1, 3).flatten(0, 2)  # of maps, CUDA has no deterministic form of it
        return self.loss_weight * F.cross_entropy(logits, targets.flatten())
