"""Deformable convolutions at the end of a tower, against sampling by `grid_sample`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg import register  # noqa: F401
from mmagg.models.layers import ConvTower

SIZES = [(1, 1), (1, 2), (2, 1), (2, 5), (3, 3), (7, 9)]
CHANNELS = 32


def tower(kind: str = 'DCN', **options) -> ConvTower:
    """Two layers, the last of them deformable, which samples two pixels away."""
    options = dict(num_convs=2, bias=True, dcn_cfg=dict(type=kind), dcn_layers='last', offset_std=0.1) | options
    net = ConvTower(in_channels=CHANNELS, channels=CHANNELS, norm_cfg=dict(type='GN', num_groups=4), **options)
    net.init_weights()
    return net


def deformable_conv(x: Tensor, offsets: Tensor, weight: Tensor) -> Tensor:
    """(B, C, h, w) with (B, 18, h, w) offsets y, x of each tap."""
    height, width = x.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    total = 0
    for tap in range(9):
        y = rows + tap // 3 - 1 + offsets[:, 2 * tap]
        at = columns + tap % 3 - 1 + offsets[:, 2 * tap + 1]
        grid = torch.stack([(2 * at + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
        sampled = F.grid_sample(x, grid, padding_mode='zeros', align_corners=False)
        total = total + torch.einsum('oc,bchw->bohw', weight[:, :, tap // 3, tap % 3], sampled)
    return total


@pytest.mark.parametrize('size', SIZES)
def test_maps_of_any_size(size) -> None:
    net = tower().double()
    x = torch.randn(2, CHANNELS, *size, dtype=torch.double)
    inner, conv = net[0](x), net[1].conv
    offsets = conv.conv_offset(inner)
    assert offsets.abs().max() > 0.5
    want = net[1].gn(deformable_conv(inner, offsets, conv.weight)).relu()
    torch.testing.assert_close(net(x), want)


@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_and_gradients(kind, dtype) -> None:
    net = tower(kind)
    feats = [torch.randn(2, CHANNELS, *size) for size in ((1, 1), (3, 4))]
    with torch.autocast('cpu', dtype):
        got = net.on_levels(feats)
    sum(x.float().square().sum() for x in got).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())
    for ours, want in zip(got, net.on_levels(feats), strict=True):
        assert (ours - want).abs().mean() < 0.02


def test_v1_has_no_bias_and_starts_with_random_offsets() -> None:
    net = tower(offset_std=0.01)
    assert net[0].conv.bias is not None
    assert {name for name, _ in net[1].conv.named_parameters()} == {'weight', 'conv_offset.weight', 'conv_offset.bias'}
    offset = net[1].conv.conv_offset
    assert offset.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not offset.bias.any()
    assert not tower(offset_std=0.0)[1].conv.conv_offset.weight.any()


def test_places_of_deformable_layers() -> None:
    deformable = [hasattr(layer.conv, 'conv_offset') for layer in tower(num_convs=3, dcn_layers='all')]
    assert deformable == [True] * 3
    assert [hasattr(layer.conv, 'conv_offset') for layer in tower(num_convs=3)] == [False, False, True]
    with pytest.raises(ValueError, match='dcn_layers'):
        tower(dcn_layers='first')
