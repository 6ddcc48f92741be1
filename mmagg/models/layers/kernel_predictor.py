"""Reassembly kernels of every location, predicted from two adjacent levels (A2-FPN, Eqs. 7 and 11).

Shape shorthand: B images, C channels of a level, M of the reduced pair, k kernel side, s scale.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

KERNEL_INIT_STD = 0.001  # as CARAFE's: at first, all taps weigh nearly the same


class PairEncoder(nn.Module):
    """Two 1x1 convolutions of a concatenated pair of maps: features for the kernels, and the mask of attention pooling.

        features = reduce(concat(first, second)),  mask = softmax over pixels(mask(concat(first, second)))

    The pair is never concatenated: the convolution of a concatenation is the sum of a convolution of each map.

    Args:
        channels: C of each map.
        reduced_channels: M.
    """

    def __init__(self, *, channels: int = 256, reduced_channels: int = 64) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, reduced_channels, 1)
        self.mask = nn.Conv2d(2 * channels, 1, 1)

    def halves(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps (B, C, h, w), in the order of concatenation -> (B, M + 1, h, w) each, which are to be summed."""
        weights = torch.cat([self.reduce.weight, self.mask.weight]).chunk(2, dim=1)
        biases: list[Any] = [self.reduce.bias, self.mask.bias]
        return F.conv2d(first, weights[0], torch.cat(biases)), F.conv2d(second, weights[1])

    def split(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of `halves` (B, M + 1, h, w) -> features (B, M, h, w) and mask (B, 1, h, w), which sums to 1."""
        features, mask = both.split([self.reduce.out_channels, 1], dim=1)
        return features, mask.flatten(1).softmax(dim=1).view_as(mask)


class KernelPredictor(BaseModule):
    """Kernels = softmax over the k² taps(kernels(ReLU(blend(features)))), one per output pixel (A2-FPN, Eqs. 7 and 11).

    Args:
        in_channels: channels of the features.
        kernel_size: k.
        scale: s; each pixel has the kernels of s² output pixels.
        stride: of the last convolution.
        blend: a 3x3 convolution and ReLU first, as in GACARAFE and GACAP; CARAFE has none.

    Raises:
        ValueError: k is even.
    """

    def __init__(
        self, *, in_channels: int = 64, kernel_size: int = 5, scale: int = 1, stride: int = 1, blend: bool = True
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size={kernel_size}: a kernel needs a centre')
        self.blend = nn.Conv2d(in_channels, in_channels, 3, padding=1) if blend else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if blend else nn.Identity()
        self.kernels = nn.Conv2d(in_channels, kernel_size**2 * scale**2, 3, stride=stride, padding=1)
        self.taps = kernel_size**2

    def init_weights(self) -> None:
        """The last convolution N(0, 0.001); the rest by the neck's `init_cfg`."""
        super().init_weights()
        nn.init.normal_(self.kernels.weight, std=KERNEL_INIT_STD)

    def forward(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, k² s², h', w'), laid out for a pixel shuffle; the k² taps sum to one."""
        logits = self.kernels(self.relu(self.blend(features)))
        return logits.unflatten(1, (self.taps, -1)).softmax(dim=1).flatten(1, 2)
