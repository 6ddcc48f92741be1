"""The gate against A2-FPN's Eq. 9, written with loops."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.layers import ChannelGate
from mmagg.models.layers.channel_gate import attention_pooled


def test_pooling_is_a_weighted_sum_of_pixels() -> None:
    x, mask = torch.randn(2, 3, 4, 5).double(), torch.rand(2, 1, 4, 5)
    got = attention_pooled(x, mask)
    assert got.shape == (2, 3, 1, 1)
    for image in range(2):
        for channel in range(3):
            pixels = [(i, j) for i in range(4) for j in range(5)]
            want = sum(x[image, channel, i, j] * mask[image, 0, i, j].double() for i, j in pixels)
            torch.testing.assert_close(got[image, channel, 0, 0], want)


@pytest.mark.parametrize('gain', [1.0, 2.0])
def test_it_is_two_layers_between_which_an_image_is_normalised(gain: float) -> None:
    """w = gain · σ(W₂ ReLU(LN(W₁ s))); the coarse map's weights come first."""
    gate = ChannelGate(channels=3, hidden_channels=4, gain=gain).double()
    for p in gate.parameters():
        torch.nn.init.normal_(p)
    statistic = torch.randn(5, 6, 1, 1).double()
    coarse, fine = gate(statistic)
    for image, s in enumerate(statistic[:, :, 0, 0]):
        hidden = gate.squeeze.weight[:, :, 0, 0] @ s + gate.squeeze.bias
        hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + gate.norm.eps).sqrt()
        hidden = hidden * gate.norm.weight.flatten() + gate.norm.bias.flatten()
        want = gain / (1 + (-(gate.excite.weight[:, :, 0, 0] @ F.relu(hidden) + gate.excite.bias)).exp())
        torch.testing.assert_close(torch.cat([coarse, fine], 1)[image].flatten(), want)


def test_no_images_and_gradients() -> None:
    gate = ChannelGate(channels=3, hidden_channels=4)
    assert [x.shape for x in gate(torch.zeros(0, 6, 1, 1))] == [(0, 3, 1, 1)] * 2
    sum((x * torch.randn_like(x)).sum() for x in gate(torch.randn(2, 6, 1, 1))).backward()
    assert all(p.grad.any() for p in gate.parameters())
