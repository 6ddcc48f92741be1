"""AggMask's context against F_c of Eq. 4: all levels upsampled, concatenated and convolved."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.models.masks import AggMaskContext, SOLOMaskBranch, SOLOv2MaskBranch
from mmagg.models.masks.grid.aggmask_context import Context, add_upsampled
from mmagg.models.masks.grid.local_masks import Lazy

SIZES = ((9, 14), (5, 7), (3, 4), (1, 1))


def net(**options) -> AggMaskContext:
    options = dict(in_channels=3, num_levels=4, channels=2, hidden_channels=4, num_groups=2) | options
    return AggMaskContext(**options).double()


def pyramid(batch: int = 2) -> list[Tensor]:
    return [torch.randn(batch, 3, *size).double() for size in SIZES]


def upsampled(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode='bilinear', align_corners=True)


@pytest.mark.parametrize('hidden', [4, None], ids=['two convolutions', 'one'])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_it_is_a_convolution_of_the_concatenated_pyramid(
    hidden: int | None, memory_format: torch.memory_format
) -> None:
    context = net(hidden_channels=hidden)
    feats = [x.contiguous(memory_format=memory_format) for x in pyramid()]
    together = torch.cat([feats[0], *(upsampled(x, SIZES[0]) for x in feats[1:])], 1)
    want = F.conv2d(together, context.fuse.weight, context.fuse.bias)
    if hidden:
        gn, _, last = context.reduce
        want = last(F.group_norm(want, 2, gn.weight, gn.bias, gn.eps).relu())
    got = context.fused(feats)
    assert got.shape == (2, 2, *SIZES[0])
    torch.testing.assert_close(got, want.relu())


def test_rows_and_columns_of_any_sizes_are_added() -> None:
    total, maps = torch.randn(2, 3, 5, 8).double(), [torch.randn(2, 3, *size).double() for size in ((2, 3), (9, 1))]
    want = total + sum(upsampled(x, (5, 8)) for x in maps)
    torch.testing.assert_close(add_upsampled(total.clone(), maps), want)


def test_each_size_is_made_once_when_it_is_asked_for() -> None:
    feature, calls = torch.randn(2, 3, 4, 5).double(), []
    context = Context(Lazy(lambda: calls.append(1) or feature))
    assert not calls
    for image in range(2):
        torch.testing.assert_close(context.at(image, (7, 6)), upsampled(feature, (7, 6))[image])
        assert torch.equal(context.at(image, (4, 5)), feature[image])
    assert context.at(0, (7, 6)).data_ptr() == context.at(0, (7, 6)).data_ptr()
    assert len(calls) == 1


def test_every_parameter_learns() -> None:
    context = net()
    torch.nn.init.constant_(context.reduce[2].bias, 10.0)  # the last ReLU lets everything through
    result = context(pyramid(), [])
    sum((result.at(i, (6, 6)) * torch.randn(2, 6, 6)).sum() for i in range(2)).backward()
    assert all(p.grad.any() for p in context.parameters())


def test_the_mask_features_of_solov2_may_be_the_source() -> None:
    branch = SOLOv2MaskBranch(
        in_channels=3, grids=(2,), strides=(8,), channels=4, num_convs=1, feature_channels=4, out_channels=6,
        feature_levels=2, norm_cfg=dict(type='GN', num_groups=2),
    ).double()  # fmt: skip
    feats = [torch.randn(1, 3, 8, 12).double(), torch.randn(1, 3, 4, 6).double()]
    masks = branch(feats, feats[1:])
    context = net(in_channels=6, hidden_channels=None, source='mask_features')
    want = F.conv2d(masks[0].mask_features, context.fuse.weight, context.fuse.bias).relu()
    torch.testing.assert_close(context(feats, masks).at(0, (8, 12)), want[0])


def test_wrong_sources_are_named() -> None:
    with pytest.raises(ValueError, match="source is 'neck'"):
        net(source='neck')
    masks = SOLOMaskBranch(in_channels=3, grids=(2,), strides=(8,), channels=32, num_convs=1)([], pyramid()[:1])
    with pytest.raises(TypeError, match="source 'mask_features' needs a DynamicMaskBranch"):
        net(source='mask_features')(pyramid(), masks)
