"""The decoder of DeepLabV3+ against the same network written plainly."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import nn

from mmagg.models.layers import DeepLabDecoder


def decoder(**options) -> DeepLabDecoder:
    small = dict(in_channels=(5, 7), levels=(1, 3), channels=6, low_channels=3, num_bases=2, dilations=(1, 2, 4))
    return MODELS.build(dict(type='DeepLabDecoder') | small | options)


def maps(batch: int = 2) -> list[torch.Tensor]:
    """Of four levels, so that a wrong index shows: odd sizes, 5 and 7 channels."""
    return [torch.randn(batch, c, h, w) for c, h, w in ((1, 18, 26), (5, 9, 13), (2, 5, 7), (7, 3, 4))]


def dilated(x: torch.Tensor, weight: torch.Tensor, rate: int) -> torch.Tensor:
    """A 3x3 convolution with gaps, as a sum of nine shifted 1x1 ones."""
    height, width = x.shape[-2:]
    x = F.pad(x, (rate,) * 4)
    return sum(
        torch.einsum('oc,bchw->bohw', weight[:, :, i, j], x[..., i * rate :, j * rate :][..., :height, :width])
        for i in range(3)
        for j in range(3)
    )


def test_is_the_network_of_the_paper():
    net, feats = decoder(norm_cfg=None).double(), [x.double() for x in maps()]
    for p in net.parameters():
        nn.init.uniform_(p, -0.3, 0.3)

    def relu(layer: nn.Module, x: torch.Tensor, rate: int = 1) -> torch.Tensor:
        weight = layer.conv.weight
        x = torch.einsum('oc,bchw->bohw', weight[..., 0, 0], x) if weight.shape[-1] == 1 else dilated(x, weight, rate)
        return (x + layer.conv.bias[:, None, None]).clamp(min=0)

    low, high = feats[1], feats[3]
    aspp = net.aspp
    context = [relu(layer, high, rate) for layer, rate in zip(aspp.branches, (1, 1, 2, 4), strict=True)]
    context.append(relu(aspp.image, high.flatten(2).mean(2)[:, :, None, None]) + torch.zeros_like(context[0]))
    merged = F.interpolate(relu(aspp.merge, torch.cat(context, 1)), size=(9, 13), mode='bilinear')
    x = torch.cat([merged, relu(net.reduce, low)], 1)
    for layer in net.tower:
        x = relu(layer, x)
    want = torch.einsum('kc,bchw->bkhw', net.conv_bases.weight[..., 0, 0], x) + net.conv_bases.bias[:, None, None]
    torch.testing.assert_close(net(feats), want)


def test_trains_with_one_image():
    net = decoder()
    bases = net(maps(batch=1))
    assert bases.shape == (1, 2, 9, 13)
    bases.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.aspp.image.conv.weight.grad.abs().sum() > 0


def test_one_by_one_is_the_batch():
    net, feats = decoder().eval(), maps()
    torch.testing.assert_close(net(feats)[1:], net([x[1:] for x in feats]))


def test_mixed_precision():
    net = decoder()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        net(maps()).float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize('channels', [128, 256])
def test_sizes_of_table_7(channels):
    """Counted by hand from the papers; only the context branches see the 2048 channels of C5."""
    net = decoder(in_channels=(512, 2048), channels=channels, low_channels=48, num_bases=4, dilations=(6, 12, 18))
    c = channels
    aspp = 2048 * c * (1 + 3 * 9) + 4 * 2 * c + (2048 + 1) * c + 5 * c * c + 2 * c
    rest = 512 * 48 + 2 * 48 + (c + 48) * c * 9 + c * c * 9 + 2 * 2 * c + (c + 1) * 4
    assert sum(p.numel() for p in net.parameters()) == aspp + rest


def test_initial_weights():
    net = decoder()
    net.init_weights()
    for layer in (*net.aspp.branches, net.aspp.image, net.aspp.merge, net.reduce, *net.tower):
        bound = (3 / layer.conv.weight[0].numel()) ** 0.5
        assert 0.8 * bound < layer.conv.weight.abs().max() <= bound
    assert net.aspp.image.conv.bias.eq(0).all()
