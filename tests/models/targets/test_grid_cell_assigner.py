"""SOLO's label assignment cell by cell, and mask targets against OpenCV's resize."""

from math import floor

import cv2
import numpy as np
import pytest
import torch
from golden_aggmask import read_case
from mmdet.registry import TASK_UTILS
from mmdet.structures.mask import BitmapMasks

from mmagg.demo.shapes import draw_scene, scene_generator
from mmagg.models.targets import GridCellAssigner, GridTargets, downsample_masks
from mmagg.models.targets.grid_cell_assigner import mass

GRIDS, RANGES, SIZE = (7, 4, 1), ((1, 24), (16, 48), (32, 500)), (60, 84)
BACKGROUND = 9


def assigner(**options) -> GridCellAssigner:
    return TASK_UTILS.build(dict(type='GridCellAssigner', grids=GRIDS, scale_ranges=RANGES) | options)


def objects(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes with a random half of their pixels, some of them crowded into one place."""
    masks, boxes = torch.zeros(number, *SIZE, dtype=torch.uint8), torch.zeros(number, 4)
    for mask, box in zip(masks, boxes, strict=True):
        h, w = (torch.rand(2) * torch.tensor(SIZE) * 0.9 + 1).int().tolist()
        y, x = (torch.rand(2) * torch.tensor([SIZE[0] - h + 1, SIZE[1] - w + 1])).int().tolist()
        mask[y : y + h, x : x + w] = torch.rand(h, w) < 0.5
        box.copy_(torch.tensor([x, y, x + w, y + h]))
    return boxes, masks


def naive(boxes: torch.Tensor, masks: torch.Tensor, min_area: int) -> list[list[int]]:
    """Per cell, over all levels, the objects that claim it (SOLO, Sec. 2.3)."""
    claims = []
    for grid, (low, high) in zip(GRIDS, RANGES, strict=True):
        level = [[] for _ in range(grid**2)]
        for g, ((x1, y1, x2, y2), mask) in enumerate(zip(boxes.tolist(), masks.numpy(), strict=True)):
            rows, columns = mask.nonzero()
            if not low <= ((x2 - x1) * (y2 - y1)) ** 0.5 <= high or len(rows) < min_area:
                continue
            spans = []
            for centre, side, extent in ((rows.mean(), y2 - y1, SIZE[0]), (columns.mean(), x2 - x1, SIZE[1])):
                first, own, last = (floor((centre + d * side / 2) / extent * grid) for d in (-0.2, 0, 0.2))
                spans.append(range(max(first, own - 1, 0), min(last, own + 1, grid - 1) + 1))
            for i in spans[0]:
                for j in spans[1]:
                    level[i * grid + j].append(g)
        claims += level
    return claims


@pytest.mark.parametrize('min_area', [1, 200])
@pytest.mark.parametrize('conflicts', ['last', 'duplicate'])
@pytest.mark.parametrize('number', [0, 1, 30])
def test_cells_around_the_centre_of_mass_are_claimed(number: int, conflicts: str, min_area: int) -> None:
    boxes, masks = objects(number)
    targets = assigner(conflicts=conflicts, min_area=min_area).assign(boxes, masks, SIZE)
    claims = naive(boxes, masks, min_area)
    assert targets.gt_of_cell.tolist() == [own[-1] if own else -1 for own in claims]
    pairs = [(cell, g) for cell, own in enumerate(claims) for g in (own if conflicts == 'duplicate' else own[-1:])]
    assert list(zip(targets.cells.tolist(), targets.gts.tolist(), strict=True)) == pairs
    if number == 30:
        assert any(len(own) > 1 for own in claims), 'the case shows nothing'
    labels = torch.randint(0, BACKGROUND, (number,))
    assert targets.labels(labels, BACKGROUND).tolist() == [labels[own[-1]] if own else BACKGROUND for own in claims]


@pytest.mark.parametrize('side, levels', [(15, [0]), (16, [0, 1]), (24, [0, 1]), (25, [1]), (48, [1, 2]), (49, [2])])
def test_both_ends_of_a_range_belong_to_it(side: int, levels: list[int]) -> None:
    mask = torch.zeros(1, *SIZE, dtype=torch.uint8)
    mask[:, :side, :side] = 1
    cells = assigner().assign(torch.tensor([[0.0, 0, side, side]]), mask, SIZE).cells
    starts = torch.tensor([0, 49, 65])  # of 7², 4² and 1 cells
    assert sorted(set((torch.bucketize(cells, starts, right=True) - 1).tolist())) == levels


def test_masks_may_end_before_the_grid_does() -> None:
    """The padding has cells, too: masks cut to the image are assigned as padded ones."""
    boxes, masks = objects(20)
    boxes, masks = boxes.clamp(max=40), masks.clone()
    masks[:, 40:], masks[:, :, 40:] = 0, 0
    whole, cut = (assigner().assign(boxes, x, SIZE) for x in (masks, masks[:, :40, :40]))
    assert len(whole.cells)
    for a, b in zip(vars(whole).values(), vars(cut).values(), strict=True):
        assert torch.equal(a, b)


def test_rounding_at_the_border_of_two_cells() -> None:
    """At 1/4 of 40 cells, float64's floor division gives cell 9, and float32's quotient cell 10."""
    masks, boxes = torch.zeros(1, 400, 400, dtype=torch.uint8), torch.tensor([[99.9, 99.9, 100.1, 100.1]])
    masks[0, 99:102, 99:102] = 1
    found = {}
    for rounding in ('floor', 'trunc'):
        only = GridCellAssigner(grids=(40,), scale_ranges=((0, 9),), rounding=rounding, min_area=1, centre_scale=0.0)
        found[rounding] = [divmod(cell, 40) for cell in only.assign(boxes, masks, (400, 400)).cells.tolist()]
    assert found == {'floor': [(9, 9)], 'trunc': [(10, 10)]}


@pytest.mark.parametrize('step, table', [(1, (4730, 0, 0)), (4, (3348, 6, 36)), (8, (3290, 539, 167))])
def test_what_the_settings_of_the_authors_change(step: int, table: tuple[int, int, int]) -> None:
    """The table of SOLO's README: positive cells of SOLO, and how many differ by AggMask's area, by its rounding.

    The first 100 scenes of `make_shapes.py --size 128`, of which every `step`-th pixel is taken.
    """
    settings = [(1, 'trunc'), (10, 'trunc'), (1, 'floor')]
    assigners = [GridCellAssigner(min_area=area, rounding=rounding) for area, rounding in settings]
    counts = torch.zeros(3, dtype=torch.long)
    for index in range(100):
        masks = draw_scene(scene_generator(0, 'val', index), 128).masks[:, ::step, ::step]
        masks = BitmapMasks(masks[masks.any((1, 2))].astype(np.uint8), *masks.shape[1:])
        boxes, pixels = masks.get_bboxes('hbox').tensor, masks.to_tensor(torch.uint8, 'cpu')
        solo, area, rounding = (x.assign(boxes, pixels, pixels.shape[1:]).gt_of_cell for x in assigners)
        counts += torch.stack([(solo >= 0).sum(), (solo != area).sum(), (solo != rounding).sum()])
    assert counts.tolist() == pytest.approx(table, rel=0.05, abs=2)  # other versions of OpenCV draw other pixels


def test_a_sample_keeps_pairs_in_their_order() -> None:
    targets = GridTargets(torch.arange(50), torch.arange(50), torch.arange(50) * 3)
    some = targets.sample(20)
    assert len(some.cells) == len(set(some.cells.tolist())) == 20
    assert (some.cells.diff() > 0).all()
    assert torch.equal(some.gts, some.cells * 3)
    assert torch.equal(some.gt_of_cell, targets.gt_of_cell)
    assert targets.sample(50) is targets
    assert len(targets.sample(0).cells) == 0


def test_mass_of_each_mask() -> None:
    _, masks = objects(5)
    masks[2] = 0
    for kind in (masks, masks.bool()):
        area, centre = mass(kind, torch.float64)
        for mask, a, c in zip(masks.numpy(), area, centre, strict=True):
            rows, columns = mask.nonzero()
            assert a == len(rows)
            assert c.tolist() == pytest.approx([columns.mean(), rows.mean()] if len(rows) else [0, 0])


@pytest.mark.parametrize('stride', [2, 4, 8])
@pytest.mark.parametrize('height, width', [(64, 96), (48, 80), (8, 8)])
def test_mask_targets_are_opencv_s_resize(stride: int, height: int, width: int) -> None:
    masks = (torch.rand(6, height, width) < 0.5).to(torch.uint8)
    got = downsample_masks(masks, stride=stride, size=(height // stride + 2, width // stride + 3))
    for target, mask in zip(got, masks.numpy(), strict=True):
        want = cv2.resize(mask, (width // stride, height // stride), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(target[: height // stride, : width // stride].numpy(), want.astype(bool))
        assert not target[height // stride :].any()
        assert not target[:, width // stride :].any()


def test_blocks_at_an_odd_border_are_filled_with_zeros() -> None:
    masks = (torch.rand(6, 13, 21) < 0.7).to(torch.uint8)
    padded = torch.nn.functional.pad(masks, (0, 3, 0, 3))
    got = downsample_masks(masks, stride=4, size=(4, 6))
    assert torch.equal(got, downsample_masks(padded, stride=4, size=(4, 6)))
    assert downsample_masks(masks[:0], stride=4, size=(4, 6)).shape == (0, 4, 6)
    with pytest.raises(ValueError, match='stride is 3; mask targets need an even one'):
        downsample_masks(masks, stride=3, size=(4, 6))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(grids=(7, 4)), '2 grids but 3 scale_ranges'),
        (dict(conflicts='first'), "conflicts is 'first'"),
        (dict(rounding='nearest'), "rounding is 'nearest'"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assigner(**options)


# Against the release


@pytest.mark.parametrize('name', ['aggequal', 'agg+cls', 'starequal', 'star+cls'])
def test_targets_at_the_real_grids(shared, name):
    """Small objects, centres on the borders of cells, cells that several objects claim."""
    golden = read_case(shared, 'targets_real')
    shape = golden['mask_shape']
    masks = torch.from_numpy(np.unpackbits(golden['masks'].numpy(), count=int(np.prod(shape))).reshape(shape))
    head = golden['heads'][name]
    assigner = GridCellAssigner(grids=head['cls_grid'])
    targets = assigner.assign(golden['bboxes'], masks, tuple(shape[1:]))
    labels = targets.labels(golden['labels'], background=0)
    strides = (4,) * 5 if name.startswith('star') else (4, 4, 8, 16, 16)
    first, positives = 0, 0
    for grid, stride, level in zip(head['cls_grid'], strides, head['levels'], strict=True):
        assert labels[first : first + grid**2].tolist() == level['cate'].flatten().tolist()
        here = (targets.cells >= first) & (targets.cells < first + grid**2)
        assert (targets.cells[here] - first).tolist() == level['cells'].tolist()
        ours = downsample_masks(masks[targets.gts[here]], stride=stride, size=tuple(level['size']))
        count = level['n_uniq'] * int(np.prod(level['size']))
        unique = np.unpackbits(level['uniq'].numpy(), count=count).reshape(-1, *level['size'])
        assert torch.equal(ours, torch.from_numpy(unique[level['inv']]).bool())
        first, positives = first + grid**2, positives + len(level['cells'])
    assert positives == len(targets.cells) > 0
