"""A tower with a batch normalisation for each level, against the layers written out."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.layers import LevelTower

SIZES = ((5, 7), (3, 4), (1, 1))


def tower(**options) -> LevelTower:
    return LevelTower(in_channels=3, channels=4, num_convs=2, num_levels=3, **options)


def test_convolutions_are_shared_and_statistics_are_a_level_s_own() -> None:
    net = tower().double().eval()
    for layer in net:
        for bn in layer.bns:
            for value in (bn.weight.data, bn.bias.data, bn.running_mean, bn.running_var):
                value.uniform_(0.1, 1)
    feats = [torch.randn(2, 3, *size).double() for size in SIZES]
    for level, (got, x) in enumerate(zip(net.on_levels(feats), feats, strict=True)):
        for layer in net:
            bn = layer.bns[level]
            x = F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=1).movedim(1, 3)
            x = (x - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
            x = x.movedim(3, 1).clamp(min=0)
        torch.testing.assert_close(got, x)


def test_training_updates_the_level_s_statistics_alone() -> None:
    net = tower()
    net.on_levels([torch.randn(2, 3, 5, 7)])
    assert [bn.num_batches_tracked.item() for bn in net[0].bns] == [1, 0, 0]
    outputs = net.on_levels([torch.randn(2, 3, *size) for size in SIZES])
    sum((x * torch.randn_like(x)).sum() for x in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize('init_std, want', [(0.01, 0.01), (None, (2 / (64 * 9)) ** 0.5)])
def test_initial_weights(init_std: float | None, want: float) -> None:
    net = LevelTower(in_channels=64, channels=64, num_convs=1, num_levels=2, init_std=init_std)
    net.init_weights()
    assert net[0].conv.weight.std().item() == pytest.approx(want, rel=0.05)
    assert not net[0].conv.bias.any()
