"""Content-aware upsampling and fusion, the top-down steps of A2-FPN (A2-FPN, Sec. 3.2, Fig. 4 left).

Plainly, of a coarse level c and a fine level f:

    p = concat(c, maxpool(f))                                         (h, w)
    kernels = softmax(predict(reduce(p)))                             a kernel for each fine pixel (A2-FPN, Eq. 7)
    w_c, w_f = gate(Σ over pixels of p · softmax(mask(p)))            channel weights (A2-FPN, Eq. 9)
    result = w_c · reassemble_up(c, kernels) + w_f · f                (A2-FPN, Eqs. 8 and 10)

Shape shorthand: B images, C channels, (H, W) size of the fine level, (h, w) = (⌈H/2⌉, ⌈W/2⌉) of the coarse one.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmagg.models.layers import few_launches
from mmagg.models.layers.channel_gate import attention_pooled
from mmagg.models.layers.pair_fusion import PairFusion, PlainFusion
from mmagg.ops import reassemble_up

SCALE = 2


def upsampled(x: Tensor, kernels: Tensor, size: Sequence[int]) -> Tensor:
    """CARAFE to twice the size, cut to the (H, W) of a fine level of odd size."""
    return reassemble_up(x, kernels, scale=SCALE)[:, :, : size[0], : size[1]]


@MODELS.register_module()
class GACARAFE(PairFusion):
    """Global attention CARAFE (A2-FPN, Eqs. 7 to 10); arguments as in `PairFusion`."""

    step = dict(scale=SCALE)

    def forward(self, coarse: Tensor, fine: Tensor, *joined: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W); `joined`: as in `PairFusion`.

        The pair is never concatenated, see `PairEncoder`.
        """
        if joined:
            return few_launches.gacarafe(self, coarse, fine, *joined)
        small = F.max_pool2d(fine, 2, ceil_mode=True)
        first, second = self.encoder.halves(coarse, small)
        features, mask = self.encoder.split(first + second)
        weights = self.gate(torch.cat([attention_pooled(coarse, mask), attention_pooled(small, mask)], dim=1))
        large = upsampled(coarse, self.predictor(features), fine.shape[2:])
        return large.mul_(weights[0]).addcmul_(weights[1], fine)


@MODELS.register_module()
class CARAFEFusion(PlainFusion):
    """CARAFE, added to the fine level (A2-FPN, Table 3); arguments as in `PlainFusion`."""

    step = dict(scale=SCALE)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
        return fine + upsampled(coarse, self.predictor(self.reduce(coarse)), fine.shape[2:])


@MODELS.register_module()
class NearestFusion(BaseModule):
    """FPN's top-down step: nearest-neighbour upsampling, and a sum; `channels` is unused."""

    def __init__(self, *, channels: int = 256) -> None:
        super().__init__()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
        return fine + F.interpolate(coarse, size=fine.shape[2:], mode='nearest')
