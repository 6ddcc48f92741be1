"""The parts that GACARAFE, GACAP and their ablations share (A2-FPN, Sec. 3.2 and 3.3, Fig. 4, Table 3)."""

from typing import Any

from mmengine.model import BaseModule
from torch import nn

from mmagg.models.layers.channel_gate import ChannelGate
from mmagg.models.layers.kernel_predictor import KernelPredictor, PairEncoder


class PairFusion(BaseModule):
    """Fusion with global attention: kernels and channel weights are predicted from both levels.

    Where few launches matter, `forward` is called with what `few_launches.pair_weights` has for it.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from (the paper's C_m).
        kernel_size: of the reassembly (the paper's k_up or k_dn).
        gate_channels: of the gate's bottleneck.
        gain: of the gate, see `ChannelGate`.
    """

    step: dict[str, Any]  # of the reassembly, `scale` or `stride` of `KernelPredictor`

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
        self.predictor = KernelPredictor(in_channels=reduced_channels, kernel_size=kernel_size, **self.step)
        self.gate = ChannelGate(channels=channels, hidden_channels=gate_channels, gain=gain)


class PlainFusion(BaseModule):
    """Fusion without it (A2-FPN, Table 3): kernels are predicted from the reassembled level; the sum has no weights.

    Args:
        channels: C.
        reduced_channels: of the features that kernels are predicted from.
        kernel_size: of the reassembly.
    """

    step: dict[str, Any]  # as in `PairFusion`

    def __init__(self, *, channels: int = 256, reduced_channels: int = 64, kernel_size: int = 5) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced_channels, 1)
        self.predictor = KernelPredictor(
            in_channels=reduced_channels, kernel_size=kernel_size, blend=False, **self.step
        )
