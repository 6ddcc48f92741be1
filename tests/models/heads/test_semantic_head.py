"""The semantic head's own properties; the authors' loss is in test_proto_net.py."""

import pytest
import torch

from mmagg.models.heads import SemanticHead


@pytest.mark.parametrize('level', [0, 1])
def test_loss_is_the_mean_over_all_pixels(level):
    head = SemanticHead(num_classes=2, in_channels=5, channels=4, level=level, loss_weight=0.7).eval()
    feats = [torch.randn(3, 5, 7, 4), torch.randn(3, 5, 4, 2)]
    target = torch.randint(0, 3, (3, *feats[level].shape[-2:]))
    probs = head(feats).softmax(1)
    assert probs.shape == (3, 3, *feats[level].shape[-2:])
    want = 0.7 * -probs.gather(1, target[:, None]).log().mean()
    torch.testing.assert_close(head.loss(feats, target), want)


def test_initial_weights_are_uniform():
    head = SemanticHead(num_classes=3, in_channels=64, channels=32)
    head.init_weights()
    for block in head.convs:
        bound = block.conv.weight[0].numel() ** -0.5  # PyTorch's default
        assert 0.99 * bound < block.conv.weight.abs().max() <= bound


def test_half_precision_loss_is_computed_in_full():
    head = SemanticHead(num_classes=3, in_channels=5, channels=4).bfloat16()
    loss = head.loss([torch.randn(2, 5, 6, 6).bfloat16()], torch.zeros(2, 6, 6).long())
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
