"""SODAR's deformable neighbour sampling against AggMask, and against a dense form in float64."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper
from test_aggmask import GRIDS, MASK_GRIDS, aggregator, inputs
from torch import Tensor

from mmagg.apis.config import load_config
from mmagg.models.masks import AggMaskAggregator
from mmagg.models.masks.grid.local_masks import Lazy
from mmagg.models.masks.grid.sodar import CellOffsets, placed
from mmagg.ops import dynamic_conv, grid_neighbours

OFFSETS = dict(type='NeighbourOffsets', channels=4)
PATTERNS = ('4', 'corners', '8', 'self')


def sodar(std: float = 1.0, **options) -> AggMaskAggregator:
    net = aggregator(offsets=OFFSETS, **options)
    torch.nn.init.normal_(net.offset_branch.conv.weight, std=std / 3)
    return net


def densely(net: AggMaskAggregator, given: tuple, level: int, image: int, pattern: str) -> Tensor:
    """The masks of all cells of a level, from all representations, sampled as a picture of G x G pixels."""
    feats, levels, class_feats, masks = given
    grid, source = MASK_GRIDS[level], masks[level]
    every = source.at(image, torch.arange(grid**2))
    if net.mask_activation == 'sigmoid':
        every = every.sigmoid()
    offsets = net.offset_branch.conv(class_feats[level])[image].flatten(1).T  # (S², 2K): row, column, row, ...
    neighbours = grid_neighbours(GRIDS[level], grid, pattern)
    rows, columns = neighbours // grid + offsets[:, ::2], neighbours % grid + offsets[:, 1::2]
    scale = 2 / max(grid - 1, 1)
    places = torch.stack([columns * scale - 1, rows * scale - 1], 2)[None]  # (1, S², K, 2)
    picture = every.flatten(1).T.reshape(1, -1, grid, grid)
    sampled = F.grid_sample(picture, places, mode='bilinear', padding_mode='border', align_corners=True)
    maps = sampled[0].permute(1, 2, 0).unflatten(2, source.size)
    if net.context is not None:
        context = net.context(feats, masks).at(image, source.size)
        maps = torch.cat([maps, context.expand(len(maps), -1, -1, -1)], 1)
    params = net.parameter_branch(levels, class_feats, masks)[level].at(image, torch.arange(len(maps)))
    return dynamic_conv(maps, params, net.spec)


@pytest.mark.parametrize('pattern', PATTERNS)
@pytest.mark.parametrize('options', [{}, dict(context=None, mask_activation='sigmoid'), dict(byte_budget=1)], ids=str)
def test_values_and_gradients_are_those_of_the_dense_form(pattern: str, options: dict) -> None:
    net, given = sodar(neighbours=pattern, **options), inputs()
    leaves = [x.logits.requires_grad_() for x in given[3]] + [x.requires_grad_() for x in given[2]]
    leaves += list(net.parameters())
    found, expected = [], []
    for level, masks in enumerate(net(*given)):
        cells = torch.randperm(GRIDS[level] ** 2)
        found.append(masks.at(1, cells)[cells.argsort()])
        expected.append(densely(net, given, level, 1, pattern))
        with torch.no_grad():  # what has no weight is not computed
            predicted = net(*given)[level].at(1, cells)[cells.argsort()]
        torch.testing.assert_close(found[-1], expected[-1])
        torch.testing.assert_close(predicted, expected[-1])
    weights = [torch.randn_like(x) for x in expected]
    ours, theirs = (
        torch.autograd.grad(sum((x * w).sum() for x, w in zip(xs, weights, strict=True)), leaves, allow_unused=True)
        for xs in (found, expected)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('pattern', PATTERNS)
def test_without_offsets_it_is_aggmask_bit_for_bit(pattern: str) -> None:
    plain, given = aggregator(neighbours=pattern), inputs()
    net = aggregator(neighbours=pattern, offsets=OFFSETS)
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert missing == ['offset_branch.conv.weight', 'offset_branch.conv.bias']
    assert not unexpected
    with torch.no_grad():
        for ours, theirs in zip(net(*given), plain(*given), strict=True):
            cells = torch.randint(len(theirs.neighbours), (5,))
            assert torch.equal(ours.at(1, cells), theirs.at(1, cells))


def test_offsets_learn_from_where_they_start() -> None:
    net, given = aggregator(offsets=OFFSETS), inputs()
    net(*given)[0].at(0, torch.arange(16)).square().sum().backward()
    grad = net.offset_branch.conv.bias.grad.view(5, 2)
    assert grad.all()


def test_representations_are_computed_once_and_where_they_have_a_weight() -> None:
    net, given = sodar(), inputs()
    torch.nn.init.zeros_(net.offset_branch.conv.weight)
    with torch.no_grad():
        net.offset_branch.conv.bias.copy_(torch.tensor([0.5, 0.0]).repeat(5))  # half a row down
    asked = []
    small_at = given[3][0].small_at
    given[3][0].small_at = lambda image, cells: asked.append(cells.tolist()) or small_at(image, cells)
    masks = net(*given)[0]
    with torch.no_grad():
        masks.at(0, torch.tensor([0, 1, 0]))
    around = grid_neighbours(GRIDS[0], 3)[:2].flatten().tolist()
    assert asked == [sorted({cell + step for cell in around for step in (0, 3) if cell + step < 9})]
    assert masks.at(0, torch.tensor([], dtype=torch.long)).shape == (0, *masks.size)


def test_offsets_are_copied_to_the_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = sodar(), inputs()
    copies, cpu = [], Tensor.cpu
    monkeypatch.setattr(Tensor, 'cpu', lambda x: copies.append(x.shape) or cpu(x))
    for level in net(*given):
        for image in (0, 1):
            level.at(image, torch.tensor([0]))
    assert copies == [(2, 10, sum(grid**2 for grid in GRIDS))]


def test_half_precision_samples_in_float32() -> None:
    maps = torch.full((1, 2, 1, 1), 0.1).half()
    offsets = CellOffsets(maps, Lazy(lambda: maps.flatten(2)), 0)
    samples = offsets.samples(0, torch.tensor([0]), torch.tensor([[40 * 30 + 20]]), 40)
    share = maps.flatten()[0].float()
    torch.testing.assert_close(
        samples.weights[0, 0],
        torch.stack([(1 - share) ** 2, (1 - share) * share, share * (1 - share), share**2]),
        atol=1e-5,
        rtol=0,
    )


def test_places_end_at_the_border() -> None:
    found = placed(torch.tensor([[[0, 2]]]), torch.tensor([[[-0.5, 7.25]]]), 3)
    assert found.tolist() == [[[0, 2]]]


def test_offsets_need_neighbours() -> None:
    with pytest.raises(ValueError, match="neighbours='none' has no places that `offsets` could move"):
        aggregator(neighbours='none', offsets=OFFSETS)


def test_offsets_may_learn_slower() -> None:
    cfg = load_config(
        'mmagg::sodar/sodar-solo_r50_fpn_3x_coco.py',
        {'model.backbone.init_cfg': None, 'optim_wrapper.paramwise_cfg.custom_keys.offset_branch.lr_mult': 0.1},
    )
    model = MODELS.build(cfg.model)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    slower = [
        names[id(p)] for group in groups for p in group['params'] if group['lr'] != cfg.optim_wrapper.optimizer.lr
    ]
    assert slower == [name for name in names.values() if 'offset_branch' in name] != []
    assert {round(group['lr'] / cfg.optim_wrapper.optimizer.lr, 6) for group in groups} == {1, 0.1}
