"""Mask representations against the masks themselves."""

import pytest
import torch
from grid_heads import CHANNELS, GRIDS, KINDS, NORM, batch_samples, mmagg_head, pyramid

from mmagg.inside.representations import MaskInspector, recorded
from mmagg.ops import full_size_masks, grid_neighbours

CELLS = [(0, 0), (0, 99), (0, 47), (1, 36), (3, 15), (4, 8)]  # level, cell: corners, borders and inside


def head(kind='solo', *, neighbours=None, mask_grids=GRIDS, **test_cfg):
    """A small head with spread-out weights, with an aggregator if there is a pattern of neighbours."""
    options = {}
    if neighbours:
        context = dict(type='MultiLevelContext', in_channels=CHANNELS, channels=4, hidden_channels=None)
        parameters = dict(type='DynamicParameters', in_channels=CHANNELS, channels=CHANNELS)
        options = dict(
            mask_branch=dict(type='StaticMaskBranch', grids=mask_grids, channels=CHANNELS, num_convs=2, norm_cfg=NORM),
            aggregator=dict(type='DynamicAggregator', neighbours=neighbours, context=context, parameters=parameters),
        )
    made = mmagg_head(kind, test_cfg=test_cfg, **options).eval()
    with torch.no_grad():
        for name, p in made.named_parameters():
            if 'gn' not in name:
                p.normal_(std=0.3 if p.ndim == 4 else 0.5)
        made.conv_cls.bias.fill_(-1)
    return made


@torch.no_grad()
def inspected(made, feats):
    """An inspector of the masks, and the mask branch's own masks."""
    return MaskInspector(made, made(feats)[1]), made.mask_branch(feats, made.resize(feats))


def cross(cell, grid):
    """Up, left, itself, right, down; at the border the border's cells repeat."""
    row, column = divmod(cell, grid)
    offsets = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]
    last = grid - 1
    return [min(max(row + r, 0), last) * grid + min(max(column + c, 0), last) for r, c in offsets]


@pytest.mark.parametrize('neighbours', [None, '4'])
def test_representations_are_the_local_masks_of_the_cell_and_its_neighbours(neighbours):
    made, feats = head(neighbours=neighbours), pyramid(1, 64, 96)
    inspector, sources = inspected(made, feats)
    for level, cell in CELLS:
        maps, cells, grid, _ = inspector.representations(level, cell)
        assert grid == GRIDS[level]
        assert cells.tolist() == cross(cell, grid)
        for shown, neighbour in zip(maps, cells.tolist(), strict=True):
            with torch.no_grad():
                expected = sources[level].at(0, torch.tensor([neighbour]))[0]
            torch.testing.assert_close(shown, expected)


@pytest.mark.parametrize('kind', KINDS)
def test_all_kinds_of_local_masks(kind):
    inspector, sources = inspected(head(kind), pyramid(1, 64, 96))
    maps, cells, *_ = inspector.representations(2, 17)
    with torch.no_grad():
        torch.testing.assert_close(maps, sources[2].at(0, cells))


@pytest.mark.parametrize('neighbours, number', [('none', 0), ('self', 1), ('corners', 4), ('8', 9)])
def test_mask_grids_of_their_own_and_other_patterns(neighbours, number):
    mask_grids = tuple(grid // 2 + 1 for grid in GRIDS)
    inspector, sources = inspected(head(neighbours=neighbours, mask_grids=mask_grids), pyramid(1, 64, 64))
    maps, cells, grid, _ = inspector.representations(0, 55)
    assert grid == mask_grids[0]
    assert maps.shape == (number, *sources[0].size)
    assert torch.equal(cells, grid_neighbours(GRIDS[0], grid, neighbours)[55])
    if number:
        with torch.no_grad():
            torch.testing.assert_close(maps, sources[0].at(0, cells))


def test_every_cell_has_its_place():
    inspector = MaskInspector(head(), [])
    expected = [(level, cell) for level, grid in enumerate(GRIDS) for cell in range(grid**2)]
    assert [inspector.place(cell) for cell in range(len(expected))] == expected


def test_masks_are_those_that_the_head_decodes():
    made = head(neighbours='4')
    inspector, _ = inspected(made, pyramid(1, 64, 96))
    cells = torch.tensor([7, 3, 3])
    start = GRIDS[0] ** 2 + GRIDS[1] ** 2
    with torch.no_grad():
        decoded = made.decode(inspector.masks, 0, (start + cells).numpy(), torch.device('cpu'))
        masks = inspector.masks[2].at(0, cells).sigmoid()
        resized = torch.nn.functional.interpolate(masks[None], size=inspector.masks[0].size, mode='bilinear')[0]
    torch.testing.assert_close(inspector.probs(2, cells), decoded, rtol=0, atol=0)
    torch.testing.assert_close(inspector.probs(2, cells), resized)


def test_masks_at_the_place_of_another_grid():
    inspector, _ = inspected(head(), pyramid(1, 64, 64))
    maps, cells, grid, _ = inspector.probs_around(
        0, 2 * 19 + 18, 19
    )  # row 2 and column 18 of 19 are row 1 and column 9
    assert grid == GRIDS[0] == 10
    assert cells.tolist() == cross(1 * 10 + 9, 10)
    torch.testing.assert_close(maps, inspector.probs(0, cells))


@pytest.mark.parametrize('kind, neighbours', [('solo', '4'), ('decoupled', None), ('solov2', None)])
def test_all_masks_of_a_level_come_in_order_and_in_chunks(kind, neighbours):
    made = head(kind, neighbours=neighbours, byte_budget=100_000)
    inspector, _ = inspected(made, pyramid(1, 64, 96))
    chunks = list(inspector.level_probs(1))
    assert len(chunks) > 1
    assert all(8 * chunk.numel() <= 100_000 for chunk in chunks)
    with torch.no_grad():
        expected = inspector.masks[1].at(0, torch.arange(GRIDS[1] ** 2)).sigmoid()
    torch.testing.assert_close(torch.cat(chunks), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('nms_pre', [500, 20])
def test_instances_know_the_cell_that_they_come_from(nms_pre):
    made, feats = head(neighbours='4', nms_pre=nms_pre), pyramid(2, 64, 96)
    samples = batch_samples(['few', 'few'], 64, 96, image_sizes=[(64, 96), (50, 90)])
    with torch.no_grad(), recorded(made) as outputs:
        results = made.predict(feats, samples)
    [(_, masks)] = outputs
    for image, (found, sample) in enumerate(zip(results, samples, strict=True)):
        assert len(found) > 3
        with torch.no_grad():
            probs = made.decode(masks, image, found.cells.numpy(), torch.device('cpu'))
        sizes = dict(upsampled_size=(64, 96), crop=sample.img_shape, out_size=sample.ori_shape)
        expected, _ = full_size_masks(probs, **sizes, mask_thr=0.5, byte_budget=2**30)
        assert torch.equal(found.masks, expected)


def test_recording_ends_with_the_block():
    module = torch.nn.Identity()
    with recorded(module) as outputs:
        module(1)
    with pytest.raises(ZeroDivisionError), recorded(module):
        raise ZeroDivisionError
    module(2)
    assert not module._forward_hooks
    assert outputs == [1]
