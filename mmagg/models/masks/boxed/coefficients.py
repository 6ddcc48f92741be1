"""The coefficients of an instance's mask, predicted at its location only (the top layer of BlendMask, Sec. 3.1).

Shape shorthand: B images, C channels, (h, w) size of a level, N locations asked for, D coefficients.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, normal_init
from torch import Tensor, nn

from mmagg.models.layers import ConvTower, LargeKernelConv
from mmagg.ops import conv_on_levels, upload
from mmagg.ops.stage import stage


class Coefficients(BaseModule):
    """A 3x3 convolution on the box tower's or an own tower's outputs, evaluated at the locations asked for only.

    On 800 x 1216 pixels, BlendMask's 784 coefficients everywhere are 36.6 G multiply-adds; at 100 detections 0.18 G.

    Args:
        num_coefficients: D.
        in_channels: channels of the pyramid.
        channels: C.
        tower: arguments of an own `ConvTower` on the pyramid (MEInst); None: the box tower's outputs are taken.
        large_kernel: side of a `LargeKernelConv`, evaluated everywhere, instead of the 3x3 convolution (MEInst, Table
            5); None for none.
    """

    def __init__(
        self,
        *,
        num_coefficients: int,
        in_channels: int = 256,
        channels: int = 256,
        tower: dict | None = None,
        large_kernel: int | None = None,
    ) -> None:
        super().__init__()
        self.tower = None if tower is None else ConvTower(in_channels=in_channels, channels=channels, **tower)
        self.dense = large_kernel is not None
        self.conv: nn.Conv2d | LargeKernelConv = (
            nn.Conv2d(channels, num_coefficients, 3, padding=1)
            if large_kernel is None
            else LargeKernelConv(in_channels=channels, out_channels=num_coefficients, kernel_size=large_kernel)
        )

    def init_weights(self) -> None:
        """N(0, 0.01) weights and biases of zero; the tower's own initialisation."""
        super().init_weights()
        if not self.dense:
            normal_init(self.conv, std=0.01)

    @stage('coefficients')
    def features(self, feats: Sequence[Tensor], box_feats: Sequence[Tensor]) -> Sequence[Tensor]:
        """The input of `at`, from the pyramid and the box tower's outputs.

        Returns:
            per level the convolution's input (B, C, h, w) or, with a large kernel, its output (B, D, h, w).
        """
        found = box_feats if self.tower is None else self.tower.on_levels(feats)
        return [self.conv(x) for x in found] if self.dense else found

    @stage('coefficients')
    def at(self, features: Sequence[Tensor], places: Tensor) -> Tensor:
        """Coefficients of some locations.

        Args:
            features: from `features`.
            places: (N,) long, in any order, counted over levels, then images, rows and columns; on the CPU, as they are
                needed there: on a GPU they are waited for.

        Returns:
            (N, D); all levels are in the graph, also for N = 0, as distributed training needs a gradient for each
            parameter.
        """
        if not isinstance(self.conv, nn.Conv2d):
            everywhere = torch.cat([x.movedim(1, 3).flatten(0, 2) for x in features])
            return everywhere[upload(places, everywhere.device)]
        ascending, order = places.cpu().sort()
        found = conv_on_levels(features, ascending, self.conv.weight, self.conv.bias)
        return found if (order.diff() > 0).all() else found[upload(order.argsort(), found.device)]
