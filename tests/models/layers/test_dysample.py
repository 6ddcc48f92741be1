"""DySample against each fine pixel's bilinear look-up written out, and against bilinear interpolation."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmagg.models.layers import DySample, DySampleFusion
from mmagg.models.necks import A2FPN


def net(dynamic_scope: bool, *, channels: int = 6, groups: int = 3) -> DySample:
    module = DySample(channels=channels, groups=groups, dynamic_scope=dynamic_scope).double()
    for p in module.parameters():
        nn.init.normal_(p, std=0.8)
    return module


def looked_up(x: Tensor, row: float, column: float) -> Tensor:
    """(C, h, w) at a place in pixels, where a pixel's centre is at its index plus a half."""
    height, width = x.shape[1:]
    y, x_ = (min(max(place - 0.5, 0), size - 1) for place, size in ((row, height), (column, width)))
    top, left = math.floor(y), math.floor(x_)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x_ - left
    upper, lower = (x[:, line, left] * (1 - u) + x[:, line, right] * u for line in (top, bottom))
    return upper * (1 - v) + lower * v


@torch.no_grad()
@pytest.mark.parametrize('size', [(3, 4), (1, 1), (1, 5)])
@pytest.mark.parametrize('dynamic_scope', [False, True])
def test_a_pixel_is_looked_up_where_its_offset_says(dynamic_scope: bool, size: tuple[int, int]) -> None:
    module, x, groups, scale = net(dynamic_scope), torch.randn(2, 6, *size).double(), 3, 2
    found = module(x)
    offsets = module.offset(x) * (0.5 * module.scope(x).sigmoid() if dynamic_scope else 0.25)
    for image in range(2):
        for row in range(2 * size[0]):
            for column in range(2 * size[1]):
                at = offsets[image, :, row // scale, column // scale]
                for group in range(groups):
                    # The release's order: x and y, groups, fine pixels of a coarse one.
                    within = group * scale**2 + row % scale * scale + column % scale
                    dx, dy = at[within], at[groups * scale**2 + within]
                    part = slice(2 * group, 2 * group + 2)
                    place = (row + 0.5) / scale + float(dy), (column + 0.5) / scale + float(dx)
                    torch.testing.assert_close(found[image, part, row, column], looked_up(x[image, part], *place))


def test_at_first_it_is_nearly_bilinear() -> None:
    module, x = DySample(channels=8), torch.randn(1, 8, 5, 7)
    module.init_weights()
    wanted = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
    torch.testing.assert_close(module(x), wanted, atol=0.02, rtol=0)
    nn.init.zeros_(module.offset.weight)
    torch.testing.assert_close(module(x), wanted)
    assert [name for name, _ in module.named_parameters()] == ['offset.weight', 'offset.bias', 'scope.weight']


@pytest.mark.parametrize('dynamic_scope', [False, True])
def test_gradients(dynamic_scope: bool) -> None:
    module, x = net(dynamic_scope, channels=2, groups=1), torch.randn(1, 2, 2, 3).double().requires_grad_()
    parameters = list(module.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: module(x), (x, *parameters), eps=1e-7, atol=1e-5)


def test_half_precision_looks_up_in_float32() -> None:
    module, x = net(True).float(), torch.randn(1, 6, 4, 40)
    with torch.autocast('cpu', torch.bfloat16):
        found = module(x.bfloat16())
    assert found.dtype == torch.bfloat16
    with torch.autocast('cpu', torch.bfloat16):
        offset, scope = module.offset(x.bfloat16()), module.scope(x.bfloat16())
    wanted = module(x)
    assert offset.dtype == scope.dtype == torch.bfloat16
    assert (found.float() - wanted).abs().median() < 0.02


@pytest.mark.parametrize('size', [(6, 8), (5, 7)])
def test_fusion_is_a_sum_of_odd_sizes_as_well(size: tuple[int, int]) -> None:
    fusion = DySampleFusion(channels=8)
    coarse, fine = torch.randn(1, 8, 3, 4), torch.randn(1, 8, *size)
    wanted = fine + fusion.upsample(coarse)[:, :, : size[0], : size[1]]
    assert torch.equal(fusion(coarse, fine), wanted)


def test_a_neck_starts_with_small_offsets() -> None:
    neck = A2FPN(
        in_channels=[4, 8],
        out_channels=8,
        num_outs=2,
        lateral=dict(type='LateralConvs'),
        top_down=dict(type='DySampleFusion', groups=2),
        bottom_up=None,
        joint_level=False,
        finest_conv=False,
    )
    neck.init_weights()
    upsample = neck.top_down[0].upsample
    assert 0 < upsample.offset.weight.std() < 0.002
    assert not upsample.scope.weight.any()


def test_groups_divide_the_channels() -> None:
    with pytest.raises(ValueError, match='groups=4 does not divide channels=6'):
        DySample(channels=6)
