"""AggMask's aggregation against its Eq. 6: each cell's own convolutions over its neighbours' masks and the context."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.models.masks import AggMaskAggregator, LocalMasks
from mmagg.ops import grid_neighbours

GRIDS, MASK_GRIDS, SIZES = (4, 3, 1), (3, 3, 1), ((6, 9), (4, 5), (2, 2))
PARAMETERS = dict(type='DynamicParameters', in_channels=3, channels=4, kernel_size=1)
CONTEXT = dict(type='MultiLevelContext', in_channels=3, num_levels=2, channels=2, hidden_channels=None)


class GivenMasks(LocalMasks):
    """Masks of every image and cell that are there already, at half the size they are upsampled to."""

    def __init__(self, logits: Tensor) -> None:  # (B, S², h, w)
        self.logits, self.stride = logits, 4
        self.size = (2 * logits.shape[2], 2 * logits.shape[3])

    def at(self, image: int, cells: Tensor) -> Tensor:
        return F.interpolate(self.small_at(image, cells)[None], size=self.size, mode='bilinear')[0]

    def small_at(self, image: int, cells: Tensor) -> Tensor:
        return self.logits[image, cells]


def aggregator(**options) -> AggMaskAggregator:
    options = dict(grids=GRIDS, mask_grids=MASK_GRIDS, context=CONTEXT, parameters=PARAMETERS) | options
    return AggMaskAggregator(channels=2, **options).double()


def inputs() -> tuple[list[Tensor], list[Tensor], list[Tensor], list[LocalMasks]]:
    """The pyramid, the levels, the class features and the masks."""
    feats = [torch.randn(2, 3, *size).double() for size in SIZES[:2]]
    class_feats = [torch.randn(2, 4, grid, grid).double() for grid in GRIDS]
    masks = [GivenMasks(torch.randn(2, s**2, *size).double()) for s, size in zip(MASK_GRIDS, SIZES, strict=True)]
    return feats, [], class_feats, masks


@pytest.mark.parametrize('byte_budget', [1, 2**26])
@pytest.mark.parametrize(
    'options',
    [
        dict(neighbours='4'),
        dict(neighbours='corners', num_layers=2),
        dict(neighbours='8', kernel_size=1, num_layers=1),
        dict(neighbours='4', context=None, mask_activation='sigmoid'),
        dict(neighbours='none'),
        dict(neighbours='self', parameters=dict(type='StaticParameters')),
    ],
    ids=str,
)
def test_it_is_a_conv_net_of_each_cell(options: dict, byte_budget: int) -> None:
    net, (feats, levels, class_feats, masks) = aggregator(**options, byte_budget=byte_budget), inputs()
    got = net(feats, levels, class_feats, masks)
    predicted = net.parameter_branch(levels, class_feats, masks)
    k = options.get('kernel_size', 3)
    for level, (grid, mask_grid) in enumerate(zip(GRIDS, MASK_GRIDS, strict=True)):
        around, source = grid_neighbours(grid, mask_grid, options['neighbours']), masks[level]
        assert got[level].size == source.size
        assert got[level].stride == source.stride
        cells = torch.randint(0, grid**2, (5,))
        for image in range(2):
            logits = got[level].at(image, cells)
            for n, cell in enumerate(cells.tolist()):
                stack = list(source.at(image, around[cell])) if len(around[cell]) else []
                if options.get('mask_activation') == 'sigmoid':
                    stack = [mask.sigmoid() for mask in stack]
                if net.context is not None:
                    context = net.context.fused(feats)
                    stack += F.interpolate(context, size=source.size, mode='bilinear', align_corners=True)[image]
                x, params = torch.stack(stack)[None], predicted[level].at(image, torch.tensor([cell]))[0]
                for i, (outputs, ins) in enumerate(net.spec.layers):
                    weight, params = params[: outputs * ins * k * k], params[outputs * ins * k * k :]
                    bias, params = params[:outputs], params[outputs:]
                    x = F.conv2d(x.relu() if i else x, weight.view(outputs, ins, k, k), bias, padding=k // 2)
                assert len(params) == 0
                torch.testing.assert_close(logits[n], x[0, 0])
        assert got[level].at(0, cells[:0]).shape == (0, *source.size)


def test_every_parameter_and_every_mask_learns() -> None:
    net, (feats, levels, class_feats, masks) = aggregator(), inputs()
    torch.nn.init.constant_(net.context.fuse.bias, 1.0)  # most of the context is above its ReLU
    for mask in masks:
        mask.logits.requires_grad_()
    aggregated = net(feats, levels, class_feats, masks)
    logits = [level.at(1, torch.arange(grid**2)) for grid, level in zip(GRIDS, aggregated, strict=True)]
    sum((x * torch.randn_like(x)).sum() for x in logits).backward()
    assert all(p.grad.any() for p in net.parameters())
    assert all(x.logits.grad[1].flatten(1).any(1).all() and not x.logits.grad[0].any() for x in masks)


def test_each_representation_is_asked_for_once() -> None:
    net, (feats, levels, class_feats, masks) = aggregator(), inputs()
    asked, original = [], masks[0].small_at
    masks[0].small_at = lambda image, cells: asked.append(cells) or original(image, cells)
    net(feats, levels, class_feats, masks)[0].at(0, torch.tensor([0, 1, 0]))
    (cells,) = asked
    assert cells.tolist() == sorted(set(grid_neighbours(4, 3, '4')[:2].flatten().tolist()))


def test_options_from_the_command_line_may_be_numbers() -> None:
    assert aggregator(neighbours=8, context=None).spec.in_channels == 9


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match='nothing to aggregate'):
        aggregator(neighbours='none', context=None)
    with pytest.raises(ValueError, match="mask_activation is 'relu'"):
        aggregator(mask_activation='relu')
    with pytest.raises(ValueError, match="neighbour pattern '5'"):
        aggregator(neighbours='5')
