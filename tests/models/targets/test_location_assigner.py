"""FCOS's targets against those of mmdet's FCOSHead."""

import pytest
import torch
from mmdet.models.dense_heads import FCOSHead
from mmengine.structures import InstanceData

from mmagg.models.targets import LocationAssigner, boxes_around, distances_to_sides, location_points, location_table

STRIDES = (8, 16, 32)
RANGES = ((-1, 64), (64, 128), (128, 1e8))
SIZES = [(25, 38), (13, 19), (7, 10)]


def random_boxes(number: int) -> torch.Tensor:
    corner = torch.rand(number, 2) * torch.tensor([280.0, 180.0])
    return torch.cat([corner, corner + 2 + torch.rand(number, 2) ** 2 * 200], dim=1)


@pytest.mark.parametrize('radius', [1.5, None])
def test_mmdet_assigns_alike(radius) -> None:
    boxes = torch.cat([random_boxes(30), torch.tensor([[8.0, 8.0, 40.0, 40.0], [8.0, 8.0, 40.0, 40.0]])])
    labels = torch.arange(len(boxes))
    head = FCOSHead(
        len(boxes), 8, strides=STRIDES, regress_ranges=RANGES, center_sampling=radius is not None,
        feat_channels=32, stacked_convs=1,
    )  # fmt: skip
    points = head.prior_generator.grid_priors(SIZES, dtype=torch.float, device='cpu')
    want, _ = head.get_targets(points, [InstanceData(bboxes=boxes, labels=labels)])
    want = torch.cat(want)
    ours = LocationAssigner(strides=STRIDES, ranges=RANGES, radius=radius).assign(
        location_points(SIZES, STRIDES, torch.device('cpu')), boxes
    )
    assert torch.equal(torch.where(ours < 0, len(boxes), ours), want)
    assert (ours >= 0).sum() > 50, 'the test is about something'


def test_points_are_mmdet_s() -> None:
    want = FCOSHead(3, 8, strides=STRIDES, regress_ranges=RANGES, feat_channels=32).prior_generator
    for ours, theirs in zip(
        location_points(SIZES, STRIDES, torch.device('cpu')), want.grid_priors(SIZES, device='cpu'), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_table_has_all_levels() -> None:
    table = location_table(SIZES, STRIDES)
    for x, points, stride in zip(
        table.split([h * w for h, w in SIZES]), location_points(SIZES, STRIDES, table.device), STRIDES, strict=True
    ):
        assert torch.equal(x[:, :2], points)
        assert (x[:, 2] == stride).all()


def test_no_objects_no_positives() -> None:
    points = location_points(SIZES, STRIDES, torch.device('cpu'))
    found = LocationAssigner(strides=STRIDES, ranges=RANGES).assign(points, torch.zeros(0, 4))
    assert found.shape == (sum(h * w for h, w in SIZES),)
    assert (found == -1).all()


def test_distances_and_back() -> None:
    boxes, points = random_boxes(5), torch.rand(5, 2) * 100
    torch.testing.assert_close(boxes_around(points, distances_to_sides(points, boxes)), boxes)


def test_levels_must_agree() -> None:
    with pytest.raises(ValueError, match='one entry per level'):
        LocationAssigner(strides=(8, 16), ranges=RANGES)
