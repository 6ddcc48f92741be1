"""Content-aware pooling and fusion, the bottom-up steps of A2-FPN (A2-FPN, Sec. 3.3, Fig. 4 right).

Plainly, of a coarse level c and a fine level f:

    p = concat(f, upsample(c))                                        (H, W)
    w_c, w_f = gate(Σ over pixels of p · softmax(mask(p)))            channel weights (A2-FPN, Eq. 9)
    kernels = softmax(predict(reduce(p)))                             a kernel for each coarse pixel (A2-FPN, Eq. 11)
    result = w_c · c + w_f · reassemble_down(f, kernels)              (A2-FPN, Eqs. 12 and 13)

Shape shorthand: B images, C channels, M of the reduced pair, (H, W) size of the fine level, (h, w) = (⌈H/2⌉, ⌈W/2⌉) of
the coarse one.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers import few_launches
from mmagg.models.layers.channel_gate import attention_pooled
from mmagg.models.layers.pair_fusion import PairFusion, PlainFusion
from mmagg.ops import reassemble_down, upsampling_adjoint

STRIDE = 2


@MODELS.register_module()
class GACAP(PairFusion):
    """Global attention content-aware pooling (A2-FPN, Eqs. 9, 11 to 13); arguments as in `PairFusion`."""

    step = dict(stride=STRIDE)

    def forward(self, coarse: Tensor, fine: Tensor, *joined: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w); `joined`: as in `PairFusion`.

        Linear maps are reordered: the coarse level is convolved to M + 1 channels before it is upsampled, and pooled at
        its own size, with the adjoint of the upsampling applied to the attention mask.
        """
        if joined:
            return few_launches.gacap(self, coarse, fine, *joined)
        own, other = self.encoder.halves(fine, coarse)
        both = own + F.interpolate(other, size=fine.shape[2:], mode='bilinear', align_corners=False)
        features, mask = self.encoder.split(both)
        of_coarse = attention_pooled(coarse, upsampling_adjoint(mask, coarse.shape[2:]))
        weights = self.gate(torch.cat([attention_pooled(fine, mask), of_coarse], dim=1))
        small = reassemble_down(fine, self.predictor(features), stride=STRIDE)
        return small.mul_(weights[1]).addcmul_(weights[0], coarse)


@MODELS.register_module()
class CAPFusion(PlainFusion):
    """Content-aware pooling, added to the coarse level (A2-FPN, Table 3); arguments as in `PlainFusion`."""

    step = dict(stride=STRIDE)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w)."""
        return coarse + reassemble_down(fine, self.predictor(self.reduce(fine)), stride=STRIDE)


@MODELS.register_module()
class StridedConvFusion(BaseModule):
    """PAFPN's bottom-up step: a 3x3 convolution of stride 2 on the fine level of C `channels`, and a sum."""

    def __init__(self, *, channels: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=STRIDE, padding=1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w)."""
        return coarse + self.conv(fine)
