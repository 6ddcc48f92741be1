"""SOLOv2's masks against convolutions with all predicted kernels, and its mask features written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmagg.models.masks import SOLOv2MaskBranch
from mmagg.ops import append_coordinates

GRIDS = (4, 3, 1)
NORM = dict(type='GN', num_groups=2)


def branch(**options) -> SOLOv2MaskBranch:
    net = SOLOv2MaskBranch(
        **dict(
            in_channels=3,
            grids=GRIDS,
            strides=(8, 16, 32),
            channels=4,
            num_convs=1,
            feature_channels=4,
            out_channels=6,
            norm_cfg=NORM,
        )
        | options
    )
    for name, p in net.named_parameters():
        torch.nn.init.normal_(p, mean=float('gn.weight' in name), std=0.5)
    return net.double()


def pyramid() -> list[torch.Tensor]:
    """P2 to P5."""
    return [torch.randn(2, 3, *size).double() for size in ((16, 24), (8, 12), (4, 6), (2, 3))]


@pytest.mark.parametrize('kernel_size', [3, 1])
def test_a_mask_is_a_convolution_with_its_cell_s_kernel(kernel_size: int) -> None:
    net, feats = branch(kernel_size=kernel_size), pyramid()
    features = net.mask_features(feats)
    assert features.shape == (2, 6, 16, 24)
    for grid, x, masks in zip(GRIDS, feats[1:], net(feats, feats[1:]), strict=True):
        inputs = F.interpolate(append_coordinates(x), size=(grid, grid), mode='bilinear')
        kernels = net.conv_kernel(net.tower(inputs))  # (B, D, S, S)
        cells = torch.randint(0, grid**2, (5,))
        for image in range(2):
            weight = kernels[image].flatten(1).t()[:, :, None, None]  # (S², D, 1, 1)
            dense = F.conv2d(features[image, None], weight)[0]
            torch.testing.assert_close(masks.at(image, cells), dense[cells])
        assert (masks.size, masks.stride) == ((16, 24), 4)
        assert masks.at(0, cells[:0]).shape == (0, 16, 24)


@pytest.mark.parametrize('norm', [True, False])
def test_mask_features_are_sums_of_doubled_levels(norm: bool) -> None:
    """SOLOv2's Fig. 3: level i is convolved and doubled i times; the last level sees coordinates."""
    net, feats = branch(feature_branch_norm=norm).mask_features, pyramid()

    def block(conv, x: torch.Tensor) -> torch.Tensor:
        assert conv.conv.bias is None
        x = F.conv2d(x, conv.conv.weight, padding=1)
        return F.relu(F.group_norm(x, 2, conv.gn.weight, conv.gn.bias) if norm else x)

    total = block(net.branches[0][0], feats[0])
    for i, x in enumerate(feats[1:], start=1):
        x = append_coordinates(x) if i == 3 else x
        assert len(net.branches[i]) == i
        for conv in net.branches[i]:
            x = block(conv, x)
            x = F.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode='bilinear')
        total = total + x
    last = net.conv_pred
    want = F.group_norm(F.conv2d(total, last.conv.weight), 2, last.gn.weight, last.gn.bias).relu()
    torch.testing.assert_close(net(feats), want)


@pytest.mark.parametrize('sizes', [((17, 25), (9, 13), (5, 7), (3, 4)), ((13, 16), (7, 8), (4, 4), (2, 2))])
def test_inputs_that_are_no_multiple_of_32(sizes: tuple) -> None:
    """Each level stays where it is: as if doubled all the way, and cut off at P2's border."""
    net = branch(norm_cfg=None)  # GroupNorm and padding would see the border
    with torch.no_grad():
        for i, convs in enumerate(net.mask_features.branches):
            for conv in convs:
                middle = conv.conv.weight[:, :, 1:2, 1:2].clone()
                conv.conv.weight.zero_()[:, :, 1:2, 1:2] = middle
            assert len(convs) == max(1, i)
    feats = [torch.randn(2, 3, *size).double() for size in sizes]
    features = net.mask_features(feats)
    assert features.shape == (2, 6, *sizes[0])
    total = net.mask_features.branches[0][0](feats[0])
    for i, x in enumerate(feats[1:], start=1):
        x = append_coordinates(x) if i == 3 else x
        for conv in net.mask_features.branches[i]:
            x = F.interpolate(conv(x), scale_factor=2, mode='bilinear')
        total = total + x[..., : sizes[0][0], : sizes[0][1]]
    inner = np.s_[..., : sizes[0][0] - 7, : sizes[0][1] - 7]  # a cut changes what is interpolated beside it
    torch.testing.assert_close(features[inner], net.mask_features.conv_pred(total)[inner])
    (masks, *_) = net(feats, feats[1:])
    assert masks.at(0, torch.tensor([1, 2])).shape == (2, *sizes[0])


def test_the_tower_runs_when_a_level_is_first_asked() -> None:
    net, feats = branch(), pyramid()
    runs = []
    net.tower.register_forward_hook(lambda *_: runs.append(1))
    masks = net(feats, feats[1:])
    assert not runs
    for _ in range(2):
        masks[1].at(0, torch.tensor([0]))
    assert len(runs) == 1


def test_every_parameter_learns() -> None:
    net, feats = branch(), pyramid()
    loss = sum(m.at(1, torch.arange(s**2)).square().mean() for m, s in zip(net(feats, feats[1:]), GRIDS, strict=True))
    loss.backward()
    assert all(p.grad.any() for p in net.parameters())


def test_initial_weights_and_wrong_sizes() -> None:
    net = SOLOv2MaskBranch(in_channels=64, grids=(4,), strides=(8,), channels=64, out_channels=32, norm_cfg=NORM)
    net.init_weights()
    assert net.conv_kernel.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert net.mask_features.branches[2][1].conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not net.conv_kernel.bias.any()
    with pytest.raises(ValueError, match='3 grids for 2 levels'):
        branch(strides=(8, 16))
