"""SOLO's masks against the branch as the paper has it: all S² maps, convolved after the upsampling."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.masks import SOLOMaskBranch
from mmagg.ops import append_coordinates

GRIDS, STRIDES, SIZES = (4, 3, 1), (8, 16, 32), ((5, 7), (3, 4), (1, 1))


def branch(**options) -> SOLOMaskBranch:
    net = SOLOMaskBranch(
        in_channels=3,
        grids=GRIDS,
        strides=STRIDES,
        channels=4,
        num_convs=2,
        norm_cfg=dict(type='GN', num_groups=2),
        **options,
    )
    for conv in net.convs:
        torch.nn.init.normal_(conv.weight)
    return net.double()


def levels(batch: int = 2) -> list[torch.Tensor]:
    return [torch.randn(batch, 3, *size).double() for size in SIZES]


def naive_tower(net: SOLOMaskBranch, x: torch.Tensor, coordinates: int) -> torch.Tensor:
    for i, layer in enumerate(net.tower):
        x = layer(append_coordinates(x) if i < coordinates else x)
    return x


@pytest.mark.parametrize('coordinates', [True, False, 2])
def test_cells_are_the_rows_of_the_whole_convolution(coordinates: int) -> None:
    net, feats = branch(coordinates=coordinates), levels()
    for level, masks in enumerate(net([], feats)):
        x, grid = feats[level], GRIDS[level]
        large = F.interpolate(naive_tower(net, x, coordinates), scale_factor=2, mode='bilinear')
        dense = F.conv2d(large, net.convs[level].weight, net.convs[level].bias)  # (B, S², 2h, 2w)
        assert dense.shape[1:] == (grid**2, *masks.size)
        assert masks.stride == STRIDES[level] // 2
        cells = torch.randint(0, grid**2, (7,))
        for image in range(2):
            torch.testing.assert_close(masks.at(image, cells), dense[image, cells])
            small = net.convs[level](net.features(x))[image, cells]
            torch.testing.assert_close(masks.small_at(image, cells), small)


def test_no_cells_and_no_features_unless_asked_for() -> None:
    net = branch()
    runs = []
    net.tower.register_forward_hook(lambda *_: runs.append(1))
    masks = net([], levels())
    assert not runs
    for level in masks:
        for _ in range(2):
            assert level.at(0, torch.zeros(0, dtype=torch.long)).shape == (0, *level.size)
    assert len(runs) == len(GRIDS), 'once a level'


def test_every_parameter_learns() -> None:
    net = branch()
    for level, masks in enumerate(net([], levels())):
        logits = masks.at(1, torch.arange(GRIDS[level] ** 2))
        (logits * torch.randn_like(logits)).sum().backward()
    assert all(p.grad.any() for p in net.parameters())


@pytest.mark.parametrize('std', [0.01, None])
def test_masks_start_at_a_probability_of_one_percent_unless_told_otherwise(std: float | None) -> None:
    net = SOLOMaskBranch(in_channels=3, grids=(20,), strides=(8,), channels=32, num_convs=1, map_init_std=std)
    net.init_weights()
    (conv,) = net.convs
    if std is None:
        assert conv.weight.abs().max() <= 1 / 32**0.5
        assert conv.weight.std() > 0.05
    else:
        assert conv.weight.std().item() == pytest.approx(std, rel=0.05)
        torch.testing.assert_close(conv.bias.sigmoid(), torch.full((400,), 0.01))


def test_coordinates_change_the_layers_that_see_them_alone() -> None:
    """SOLO, Table 3: none, one or two CoordConvs."""
    inputs = [[layer.conv.in_channels for layer in branch(coordinates=n).tower] for n in (0, 1, 2)]
    assert inputs == [[3, 4], [5, 4], [5, 6]]
    assert branch(coordinates=1).state_dict().keys() == branch().state_dict().keys()
    with pytest.raises(ValueError, match='coord_convs is 3; the tower has 2 layers'):
        branch(coordinates=3)
