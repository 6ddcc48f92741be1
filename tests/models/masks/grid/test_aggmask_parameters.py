"""The aggregation's parameters against convolutions of the whole grid (AggMask, Eqs. 4 and 5)."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.masks import DynamicParameters, SOLOMaskBranch, SOLOv2MaskBranch, StaticParameters
from mmagg.ops import append_coordinates

GRIDS, NORM = (4, 3, 1), dict(type='GN', num_groups=2)
BRANCH = dict(in_channels=3, strides=(8, 16, 32), channels=4, num_convs=1, norm_cfg=NORM)


def inputs() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Levels of the pyramid, and outputs of the class tower."""
    levels = [torch.randn(2, 3, *size).double() for size in ((5, 7), (3, 4), (1, 1))]
    return levels, [torch.randn(2, 4, grid, grid).double() for grid in GRIDS]


@pytest.mark.parametrize('activation', ['tanh', 'none'])
@pytest.mark.parametrize('kernel_size', [3, 1])
@pytest.mark.parametrize('features', ['class_tower', 'own_tower', 'mask_tower'])
def test_cells_are_places_of_a_dense_convolution(features: str, kernel_size: int, activation: str) -> None:
    tower = dict(num_convs=1, norm_cfg=NORM) if features == 'own_tower' else None
    net = DynamicParameters(
        num_params=7, in_channels=3, channels=4, kernel_size=kernel_size, activation=activation, features=features,
        tower=tower,
    ).double()  # fmt: skip
    levels, class_feats = inputs()
    branch = SOLOv2MaskBranch(**BRANCH, grids=GRIDS, feature_channels=4, out_channels=4, feature_levels=1).double()
    masks = branch(levels, levels)
    for level, (grid, parameters) in enumerate(zip(GRIDS, net(levels, class_feats, masks), strict=True)):
        if features == 'class_tower':
            x = class_feats[level]
        elif features == 'own_tower':
            x = net.tower(F.interpolate(append_coordinates(levels[level]), size=(grid, grid), mode='bilinear'))
        else:
            x = branch.tower(F.interpolate(append_coordinates(levels[level]), size=(grid, grid), mode='bilinear'))
        dense = F.conv2d(x, net.conv.weight, net.conv.bias, padding=kernel_size // 2).flatten(2)  # (B, P, S²)
        dense = dense.tanh() if activation == 'tanh' else dense
        cells = torch.randint(0, grid**2, (5,))
        for image in range(2):
            torch.testing.assert_close(parameters.at(image, cells), dense[image].t()[cells])
        assert parameters.at(0, cells[:0]).shape == (0, 7)


def test_every_parameter_learns() -> None:
    tower = dict(num_convs=1, norm_cfg=NORM)
    net = DynamicParameters(num_params=7, in_channels=3, channels=4, features='own_tower', tower=tower).double()
    levels, class_feats = inputs()
    for grid, parameters in zip(GRIDS, net(levels, class_feats, []), strict=True):
        parameters.at(1, torch.arange(grid**2)).sum().backward()
    assert all(p.grad.any() for p in net.parameters())


def test_static_parameters_are_the_same_for_every_cell_and_learn_from_all() -> None:
    net, (levels, class_feats) = StaticParameters(num_params=7), inputs()
    assert 0.09 < StaticParameters(num_params=1000).params.abs().max() <= 0.1
    found = [x.at(image, torch.arange(3)) for x in net(levels, class_feats, []) for image in range(2)]
    assert len(found) == 2 * len(GRIDS)
    assert all(torch.equal(x, net.params.expand(3, -1)) for x in found)
    sum(x.sum() for x in found).backward()
    assert net.params.grad.tolist() == [len(found) * 3] * 7


def test_wrong_options_are_named() -> None:
    options = dict(num_params=3, in_channels=3, channels=4)
    for wrong, message in (
        (dict(features='neck'), "features is 'neck'"),
        (dict(activation='relu'), "activation is 'relu'"),
        (dict(features='own_tower'), 'tower is for features=own_tower'),
        (dict(tower=dict(num_convs=1)), 'tower is for features=own_tower'),
    ):
        with pytest.raises(ValueError, match=message):
            DynamicParameters(**options, **wrong)
    net, (levels, class_feats) = DynamicParameters(**options, features='mask_tower').double(), inputs()
    with pytest.raises(TypeError, match="features 'mask_tower' need a DynamicMaskBranch"):
        net(levels, class_feats, SOLOMaskBranch(**BRANCH, grids=GRIDS)([], levels))
    masks = SOLOv2MaskBranch(**BRANCH, grids=(2, 2, 2), feature_levels=1).double()(levels, levels)
    (first, *_) = net(levels, class_feats, masks)
    with pytest.raises(ValueError, match='need equal grids for classes and masks'):
        first.at(0, torch.tensor([0]))
