"""Deformable blocks: their places, results and numbers of parameters."""

import pytest
import torch
from mmcv.ops import ModulatedDeformConv2dPack
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import nn

from mmagg.models.backbones import ResNetDCNInterval

DCN = dict(dcn=dict(type='DCNv2', deform_groups=1), stage_with_dcn=(False, True, True, True))
SMALL = dict(depth=50, base_channels=4, norm_eval=False, style='caffe')


def deformable_blocks(net: ResNet) -> list[list[int]]:
    return [
        [i for i, block in enumerate(getattr(net, name)) if isinstance(block.conv2, ModulatedDeformConv2dPack)]
        for name in net.res_layers
    ]


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    'interval, want',
    [
        (1, [[], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [0, 1, 2]]),
        (2, [[], [0, 2], [0, 2, 4], [0, 2]]),
        (3, [[], [0, 3], [0, 3], [0]]),
        (9, [[], [0], [0], [0]]),
    ],
)
def test_every_nth_block_of_the_stages_given(interval, want):
    net = MODELS.build(dict(type='ResNetDCNInterval', dcn_interval=interval, **SMALL, **DCN))
    assert deformable_blocks(net) == want


def test_size_of_the_released_model():
    """ResNet-101 with interval 3 has 684585 parameters more in the release: 55711395 - 55026810 of whole models."""
    with torch.device('meta'):
        plain = ResNet(depth=101)
        net = ResNetDCNInterval(depth=101, **DCN)
    assert parameters(net) - parameters(plain) == 55_711_395 - 55_026_810
    assert [len(blocks) for blocks in deformable_blocks(net)] == [0, 2, 8, 1]


def test_initial_offsets_are_zero():
    net = ResNetDCNInterval(**SMALL, **DCN)
    net.init_weights()
    offsets = [m.conv_offset for m in net.modules() if isinstance(m, ModulatedDeformConv2dPack)]
    assert len(offsets) == 5
    assert all(o.weight.eq(0).all() and o.bias.eq(0).all() for o in offsets)
    assert all(block.bn3.weight.eq(0).all() for name in net.res_layers for block in getattr(net, name))


def test_without_offsets_it_is_a_plain_convolution_of_half_strength():
    """The mask's sigmoid is 0.5 at first, the offsets are zero."""
    net, plain = ResNetDCNInterval(**SMALL, **DCN), ResNet(**SMALL)
    state = {k: v for k, v in net.state_dict().items() if 'conv_offset' not in k}
    for name, blocks in zip(net.res_layers, deformable_blocks(net), strict=True):
        for i in blocks:
            state[f'{name}.{i}.conv2.weight'] = 0.5 * state[f'{name}.{i}.conv2.weight']
    plain.load_state_dict(state)
    net.eval()
    plain.eval()
    x = torch.randn(1, 3, 64, 96)
    for ours, want in zip(net(x), plain(x), strict=True):
        torch.testing.assert_close(ours, want)


def test_backward_reaches_the_offsets_and_frozen_stages_stay():
    net = ResNetDCNInterval(frozen_stages=2, **SMALL, **DCN)
    net.train()
    net(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    assert net.layer3[0].conv2.conv_offset.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.layer2.parameters())


def test_interval_must_be_positive():
    with pytest.raises(ValueError, match='dcn_interval'):
        ResNetDCNInterval(dcn_interval=0, **SMALL, **DCN)
    with pytest.raises(TypeError, match='dcn_intervall'):
        ResNetDCNInterval(dcn_intervall=3, **SMALL, **DCN)
