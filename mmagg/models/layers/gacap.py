"""Content-aware pooling and fusion, the bottom-up steps of A2-FPN (Sec. 3.3, Fig. 4 right).

Shape shorthand: B images, C channels, M of the reduced pair, (H, W) size of the fine level, (h, w) = (⌈H/2⌉, ⌈W/2⌉) of
the coarse one.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers.channel_gate import ChannelGate, attention_pooled
from mmagg.models.layers.kernel_predictor import KernelPredictor, PairEncoder
from mmagg.ops import reassemble_down, upsampling_adjoint

STRIDE = 2


@MODELS.register_module()
class GACAP(BaseModule):
    """Global attention content-aware pooling: both levels decide on the kernels and on the weights of the sum.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from (the paper's C_m).
        kernel_size: of the reassembly (k_dn).
        gate_channels: of the gate's bottleneck.
        gain: of the gate, see `ChannelGate`.
    """

    def __init__(
        self,
        *,
        channels: int = 256,
        reduced_channels: int = 64,
        kernel_size: int = 5,
        gate_channels: int = 128,
        gain: float = 2.0,
    ) -> None:
        super().__init__()
        self.encoder = PairEncoder(channels=channels, reduced_channels=reduced_channels)
        self.predictor = KernelPredictor(in_channels=reduced_channels, kernel_size=kernel_size, stride=STRIDE)
        self.gate = ChannelGate(channels=channels, hidden_channels=gate_channels, gain=gain)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w) (Eqs. 9 and 11 to 13).

        The paper upsamples the coarse level and concatenates it with the fine one. Here only its convolution to M + 1
        channels is upsampled, and its statistic is pooled at its own size, with the adjoint of the upsampling applied
        to the mask.
        """
        own, other = self.encoder.halves(fine, coarse)
        both = own + F.interpolate(other, size=fine.shape[2:], mode='bilinear', align_corners=False)
        features, mask = self.encoder.split(both)
        of_coarse = attention_pooled(coarse, upsampling_adjoint(mask, coarse.shape[2:]))
        weights = self.gate(torch.cat([attention_pooled(fine, mask), of_coarse], dim=1))
        small = reassemble_down(fine, self.predictor(features), stride=STRIDE)
        return small.mul_(weights[1]).addcmul_(weights[0], coarse)


@MODELS.register_module()
class CAPFusion(BaseModule):
    """Plain content-aware pooling (Table 3): the fine level alone decides on the kernels; the levels are added.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from.
        kernel_size: of the reassembly.
    """

    def __init__(self, *, channels: int = 256, reduced_channels: int = 64, kernel_size: int = 5) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced_channels, 1)
        self.predictor = KernelPredictor(
            in_channels=reduced_channels, kernel_size=kernel_size, stride=STRIDE, blend=False
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w)."""
        return coarse + reassemble_down(fine, self.predictor(self.reduce(fine)), stride=STRIDE)


@MODELS.register_module()
class StridedConvFusion(BaseModule):
    """PAFPN's: a 3x3 convolution of stride 2, and a sum.

    Args:
        channels: C.
    """

    def __init__(self, *, channels: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=STRIDE, padding=1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, h, w)."""
        return coarse + self.conv(fine)
