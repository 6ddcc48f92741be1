"""Channel-wise reweighting of two adjacent levels (A2-FPN, Eq. 9).

    z = p · softmax over pixels(mask(p))ᵀ                             attention pooling of the concatenated pair p
    w_c, w_f = 2 · σ(excite(ReLU(LN(squeeze(z)))))                    channel weights

Shape shorthand: B images, C channels of a level, M of the bottleneck.
"""

from torch import Tensor, nn


def attention_pooled(x: Tensor, mask: Tensor) -> Tensor:
    """Attention pooling: (B, C, h, w) map, (B, 1, h, w) attention mask -> (B, C, 1, 1) weighted sum of the pixels."""
    return (x.flatten(2) @ mask.flatten(2).transpose(1, 2).to(x.dtype))[..., None]


class ChannelGate(nn.Module):
    """The gate that turns the pooled statistic of two maps into a weight for each of their channels.

    Args:
        channels: C.
        hidden_channels: M.
        gain: factor of the sigmoid; with 2, the mean of the weights stays 1 over several levels (A2-FPN, Table 5).
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
