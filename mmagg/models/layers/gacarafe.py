"""Content-aware upsampling and fusion, the top-down steps of A2-FPN (Sec. 3.2, Fig. 4 left).

Shape shorthand: B images, C channels, (H, W) size of the fine level, (h, w) = (⌈H/2⌉, ⌈W/2⌉) of the coarse one.
"""

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmagg.models.layers.channel_gate import ChannelGate, attention_pooled
from mmagg.models.layers.kernel_predictor import KernelPredictor, PairEncoder
from mmagg.ops import reassemble_up

SCALE = 2


def upsampled(x: Tensor, kernels: Tensor, size: tuple[int, int]) -> Tensor:
    """CARAFE to twice the size, without the last row or column where the fine level has an odd size."""
    return reassemble_up(x, kernels, scale=SCALE)[:, :, : size[0], : size[1]]


@MODELS.register_module()
class GACARAFE(BaseModule):
    """Global attention CARAFE: both levels decide on the kernels of the upsampling and on the weights of the sum.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from (the paper's C_m).
        kernel_size: of the reassembly (k_up).
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
        self.predictor = KernelPredictor(in_channels=reduced_channels, kernel_size=kernel_size, scale=SCALE)
        self.gate = ChannelGate(channels=channels, hidden_channels=gate_channels, gain=gain)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W) (Eqs. 7 to 10)."""
        small = F.max_pool2d(fine, 2, ceil_mode=True)
        first, second = self.encoder.halves(coarse, small)
        features, mask = self.encoder.split(first + second)
        weights = self.gate(torch.cat([attention_pooled(coarse, mask), attention_pooled(small, mask)], dim=1))
        large = upsampled(coarse, self.predictor(features), fine.shape[2:])
        return large.mul_(weights[0]).addcmul_(weights[1], fine)


@MODELS.register_module()
class CARAFEFusion(BaseModule):
    """Plain CARAFE (Table 3): the coarse level alone decides on the kernels, and the levels are added as they are.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from.
        kernel_size: of the reassembly.
    """

    def __init__(self, *, channels: int = 256, reduced_channels: int = 64, kernel_size: int = 5) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced_channels, 1)
        self.predictor = KernelPredictor(
            in_channels=reduced_channels, kernel_size=kernel_size, scale=SCALE, blend=False
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
        return fine + upsampled(coarse, self.predictor(self.reduce(coarse)), fine.shape[2:])


@MODELS.register_module()
class NearestFusion(BaseModule):
    """FPN's: nearest neighbours, and a sum.

    Args:
        channels: not needed.
    """

    def __init__(self, *, channels: int = 256) -> None:
        super().__init__()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C, H, W) -> (B, C, H, W)."""
        return fine + F.interpolate(coarse, size=fine.shape[2:], mode='nearest')
