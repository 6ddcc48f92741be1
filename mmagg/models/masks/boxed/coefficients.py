"""The numbers that make an instance's mask, predicted at its location, and only there (BlendMask's top layer).

Shape shorthand: B images, C channels, (h, w) size of a level, N places, D coefficients.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import ConvTower, LargeKernelConv
from mmagg.ops import conv_at
from mmagg.ops.stage import stage


class Coefficients(BaseModule):
    """A 3x3 convolution, evaluated at the places asked for, on the box tower's outputs or on those of its own tower.

    On 800 x 1216 pixels, K·M·M = 784 coefficients everywhere are 36.6 G multiply-adds; at 100 detections 0.18 G.

    Args:
        num_coefficients: D.
        in_channels: channels of the pyramid, and of the own tower's input.
        channels: C.
        tower: arguments of the own `ConvTower` on the pyramid (MEInst); None: on the box tower's outputs.
        large_kernel: side of a `LargeKernelConv` instead of the 3x3 convolution, which is evaluated everywhere
            (MEInst's Table 5); None for none.
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
        self.conv = (
            LargeKernelConv(in_channels=channels, out_channels=num_coefficients, kernel_size=large_kernel)
            if self.dense
            else nn.Conv2d(channels, num_coefficients, 3, padding=1)
        )

    def init_weights(self) -> None:
        """N(0, 0.01) weights, biases of zero; the tower as it does."""
        super().init_weights()
        if not self.dense:
            nn.init.normal_(self.conv.weight, std=0.01)
            nn.init.zeros_(self.conv.bias)

    @stage('coefficients')
    def features(self, feats: Sequence[Tensor], box_feats: Sequence[Tensor]) -> Sequence[Tensor]:
        """The maps that `at` picks from, per level.

        Args:
            feats: the pyramid.
            box_feats: the box tower's outputs.

        Returns:
            what the convolution is for, (B, C, h, w), or with a large kernel its outputs, (B, D, h, w).
        """
        found = box_feats if self.tower is None else self.tower.on_levels(feats)
        return [self.conv(x) for x in found] if self.dense else found

    @stage('coefficients')
    def at(self, features: Sequence[Tensor], places: Tensor) -> Tensor:
        """Coefficients at some places.

        Args:
            features: what `features` returns.
            places: (N,) long, in any order, over all levels, then images, rows and columns; on the CPU if nobody is to
                wait for the device.

        Returns:
            (N, D). All levels are part of the graph even if there is no place at all, so that distributed training
            finds every parameter.
        """
        if self.dense:
            everywhere = torch.cat([x.movedim(1, 3).flatten(0, 2) for x in features])
            return everywhere[places.to(everywhere.device)]
        ascending, order = places.cpu().sort()
        starts = torch.tensor([0] + [x[:, 0].numel() for x in features]).cumsum(0)
        bounds = torch.searchsorted(ascending, starts).tolist()
        found = torch.cat(
            [
                conv_at(x, ascending[begin:end] - start, self.conv.weight, self.conv.bias)
                for x, start, begin, end in zip(features, starts[:-1], bounds[:-1], bounds[1:], strict=True)
            ]
        )
        return found[order.argsort().to(found.device)]
