"""Channel-wise reweighting of two adjacent levels (A2-FPN, Eq. 9).

Shape shorthand: B images, C channels of a level, M of the bottleneck.
"""

from torch import Tensor, nn


def attention_pooled(x: Tensor, mask: Tensor) -> Tensor:
    """The sum of a map's pixels, weighted by an attention mask: (B, C, h, w), (B, 1, h, w) -> (B, C, 1, 1)."""
    return (x.flatten(2) @ mask.flatten(2).transpose(1, 2).to(x.dtype))[..., None]


class ChannelGate(nn.Module):
    """From the attention-pooled statistic of two maps to a weight for each of their channels.

    Args:
        channels: C of each map.
        hidden_channels: M.
        gain: the weights are `gain` times a sigmoid. With 2, their mean over several levels stays 1 (Table 5).
    """

    def __init__(self, *, channels: int = 256, hidden_channels: int = 128, gain: float = 2.0) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(2 * channels, hidden_channels, 1)
        self.norm = nn.LayerNorm([hidden_channels, 1, 1])
        self.relu = nn.ReLU(inplace=True)
        self.excite = nn.Conv2d(hidden_channels, 2 * channels, 1)
        self.gain = gain

    def forward(self, statistic: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2 C, 1, 1) -> weights (B, C, 1, 1) of the coarse map and of the fine one."""
        weights = self.gain * self.excite(self.relu(self.norm(self.squeeze(statistic)))).sigmoid()
        coarse, fine = weights.chunk(2, dim=1)
        return coarse, fine
