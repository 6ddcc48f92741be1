"""AggMask in the SOLO family's head: what must hold whatever the weights."""

import pytest
import torch
import torch.nn.functional as F
from grid_heads import AGGREGATED, CHANNELS, DEFORMED, GRIDS, aggmask_head, batch_samples, mmagg_head, pyramid

from mmagg.ops import dynamic_conv, grid_neighbours

PARAMETERS = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS)


@pytest.mark.parametrize('kind', [*AGGREGATED, *DEFORMED])
def test_inputs_that_are_no_multiple_of_32(kind):
    head, size = aggmask_head(kind), (101, 157)
    losses = head.loss(pyramid(2, *size), batch_samples(['few', 'tiny'], *size))
    sum(losses.values()).backward()
    assert all(torch.isfinite(x) for x in losses.values())
    with torch.no_grad():
        assert len(head.eval().predict(pyramid(1, *size), batch_samples(['few'], *size))) == 1


@pytest.mark.parametrize('kind', AGGREGATED)
def test_aggregation_is_a_small_net_over_the_neighbours_stack(kind):
    """Eq. 6, cell by cell: gather, append the context, run the cell's own net."""
    head, feats = aggmask_head(kind), pyramid(2, 64, 96)
    with torch.no_grad():
        levels = head.resize(feats)
        class_feats = [
            head.class_tower(F.interpolate(x, size=(s, s), mode='bilinear'))
            for x, s in zip(levels, head.grids, strict=True)
        ]
        maps = head.mask_branch(feats, levels)
        aggregated = head.aggregator(feats, levels, class_feats, maps)
        context = head.aggregator.context.fused(feats)
        for level, (grid, mask_grid) in enumerate(zip(head.grids, head.mask_branch.grids, strict=True)):
            index = grid_neighbours(grid, mask_grid, 'corners' if kind == 'solo-mask' else '4')
            params = head.aggregator.parameter_branch(levels, class_feats, maps)[level]
            cells = torch.tensor([0, grid**2 // 2, grid**2 - 1, 0])
            for image in range(2):
                around = index[cells]  # (4, K)
                stack = maps[level].at(image, around.flatten()).unflatten(0, around.shape)
                guide = F.interpolate(context, size=maps[level].size, mode='bilinear', align_corners=True)[image]
                guide = guide.expand(len(cells), -1, -1, -1)
                want = dynamic_conv(torch.cat([stack, guide], 1), params.at(image, cells), head.aggregator.spec)
                ours = aggregated[level].at(image, cells)
                torch.testing.assert_close(ours, want, rtol=1e-4, atol=1e-4 * want.abs().max().item())


@pytest.mark.parametrize('kind', [*AGGREGATED, *DEFORMED])
@pytest.mark.parametrize('images', [['few', 'empty'], ['empty', 'empty'], ['crowded', 'tiny']], ids='+'.join)
def test_every_parameter_has_a_finite_gradient(kind, images):
    head = aggmask_head(kind)
    losses = head.loss(pyramid(2, 64, 96), batch_samples(images, 64, 96))
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    for name, p in head.named_parameters():
        assert p.grad is not None, f'DistributedDataParallel would wait for {name}'
        assert torch.isfinite(p.grad).all(), name
    if 'crowded' in images:
        for part in (head.aggregator.parameter_branch, head.aggregator.context, head.mask_branch):
            assert any(p.grad.any() for p in part.parameters())


@pytest.mark.parametrize('kind', [*AGGREGATED, *DEFORMED])
def test_batch_equals_one_by_one(kind):
    head = aggmask_head(kind).double().eval()
    feats, samples = [x.double() for x in pyramid(3, 64, 96)], batch_samples(['few'] * 3, 64, 96)
    with torch.no_grad():
        together = head.predict(feats, samples)
        for i, result in enumerate(together):
            (alone,) = head.predict([x[i : i + 1] for x in feats], samples[i : i + 1])
            assert len(result.scores)
            assert torch.equal(alone.labels, result.labels)
            assert (alone.masks != result.masks).float().mean() < 1e-5


@pytest.mark.parametrize('kind', [*AGGREGATED, *DEFORMED])
def test_byte_budget_changes_nothing_but_the_memory(kind):
    head = aggmask_head(kind).double().eval()
    frugal = aggmask_head(kind, test_cfg=dict(byte_budget=1)).double().eval()
    frugal.load_state_dict(head.state_dict())
    assert frugal.aggregator.byte_budget == 1
    feats, samples = [x.double() for x in pyramid(1, 64, 96)], batch_samples(['few'], 64, 96)
    with torch.no_grad():
        (a,), (b,) = head.predict(feats, samples), frugal.predict(feats, samples)
    assert len(a.scores)
    assert torch.equal(a.labels, b.labels)
    assert (a.masks != b.masks).float().mean() < 1e-4  # roundings at the threshold


def test_no_candidates_no_masks():
    head = aggmask_head('solo').eval()
    head.conv_cls.bias.data.fill_(-100)
    with torch.no_grad():
        (result,) = head.predict(pyramid(1, 64, 96), batch_samples(['few'], 64, 96))
    assert result.masks.shape[0] == 0


def test_a_single_cell_per_level():
    """The release divides by the grid minus one."""
    one = (1,) * len(GRIDS)
    head = mmagg_head('solo', grids=one, aggregator=dict(type='DynamicAggregator', context=None, parameters=PARAMETERS))
    losses = head.loss(pyramid(1, 64, 96), batch_samples(['few'], 64, 96))
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize('kind', ['solo', 'solo-mask', 'decoupled', 'solov2-own-tower'])
def test_mixed_precision_predicts_like_float32(kind):
    """Masks of fixed weights that were fitted: those of random weights are all border."""
    torch.manual_seed(0)
    head, samples = aggmask_head(kind), batch_samples(['few', 'few'], 64, 96)
    smooth = pyramid(2, 64, 96)[4]
    feats = [F.interpolate(smooth, size=x.shape[-2:], mode='bilinear') for x in pyramid(2, 64, 96)]
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for _ in range(150):
        optimizer.zero_grad()
        sum(head.loss(feats, samples).values()).backward()
        optimizer.step()
        schedule.step()

    def masks():
        """(N, 16, 24) bool, of the positive cells of both images."""
        logits, found = head(feats)[1], []
        for image, gt in enumerate(x.gt_instances for x in samples):
            cells = head.assigner.assign(gt.bboxes, torch.from_numpy(gt.masks.masks), (64, 96)).cells
            for level, _, own in head.by_level(cells.numpy()):
                mask = logits[level].at(image, torch.from_numpy(own)) > 0
                found.append(F.pad(mask, (0, 24 - mask.shape[2], 0, 16 - mask.shape[1])))
        return torch.cat(found)

    with torch.no_grad():
        exact = masks()
        assert exact.sum() > 200
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast('cpu', dtype=dtype):
                rounded = masks()
            assert (exact & rounded).sum() / (exact | rounded).sum() > 0.98, dtype


@pytest.mark.parametrize('kind', [*AGGREGATED, *DEFORMED])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])
def test_mixed_precision_trains(kind, dtype):
    head, feats, samples = aggmask_head(kind), pyramid(2, 64, 96), batch_samples(['few', 'empty'], 64, 96)
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    for _ in range(4):
        with torch.autocast('cpu', dtype=dtype):
            losses = head.loss(feats, samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1, error_if_nonfinite=True)
        optimizer.step()
        assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(p).all() for p in head.parameters())


def test_wrong_compositions_are_named():
    with pytest.raises(ValueError, match=r'class grids .* and mask grids .* differ: that takes an aggregator'):
        mmagg_head('solo', mask_branch=dict(type='StaticMaskBranch', channels=32, num_convs=1, grids=(4,) * 5))
    mask_tower = PARAMETERS | dict(features='mask_tower')
    head = mmagg_head('solo', aggregator=dict(type='DynamicAggregator', context=None, parameters=mask_tower))
    with pytest.raises(TypeError, match='need a DynamicMaskBranch'):
        head(pyramid(1, 64, 96))
