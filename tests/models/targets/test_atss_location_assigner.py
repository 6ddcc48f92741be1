"""ATSS on points against mmdet's ATSSAssigner on square anchors around them."""

import pytest
import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmengine.structures import InstanceData

from mmagg.models.targets import ATSSLocationAssigner, location_points

STRIDES = (8, 16, 32)
SIZES = [(25, 38), (13, 19), (7, 10)]


def random_boxes(number: int, width: float = 300.0, height: float = 200.0) -> torch.Tensor:
    corner = torch.rand(number, 2) * torch.tensor([width, height])
    return torch.cat([corner, corner + 4 + torch.rand(number, 2) ** 2 * 200], dim=1)


def mmdet_s(points, boxes, *, topk: int, scale: float) -> torch.Tensor:
    anchors = [
        torch.cat([at - scale * stride / 2, at + scale * stride / 2], dim=1)
        for at, stride in zip(points, STRIDES, strict=True)
    ]
    found = ATSSAssigner(topk=topk).assign(
        InstanceData(priors=torch.cat(anchors)),
        [len(x) for x in anchors],
        InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes)).long()),
    )
    return found.gt_inds - 1


@pytest.mark.parametrize('topk, scale', [(9, 8.0), (4, 4.0), (100, 8.0)])  # more than the coarsest level has
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_mmdet_assigns_alike(seed, topk, scale) -> None:
    torch.manual_seed(seed)
    # Many of them overlap; two are the same.
    boxes = random_boxes(40)
    boxes = torch.cat([boxes, boxes[:1]])
    points = location_points(SIZES, STRIDES, torch.device('cpu'))
    found = ATSSLocationAssigner(strides=STRIDES, topk=topk, anchor_scale=scale).assign(points, boxes)
    assert torch.equal(found, mmdet_s(points, boxes, topk=topk, scale=scale))
    assert (found >= 0).sum() > 40, 'the test is about something'
    assert len(found.unique()) > 20


def test_a_location_is_in_its_object_s_box() -> None:
    boxes, points = random_boxes(20), location_points(SIZES, STRIDES, torch.device('cpu'))
    found = ATSSLocationAssigner(strides=STRIDES).assign(points, boxes)
    at, boxes = torch.cat(points)[found >= 0], boxes[found[found >= 0]]
    assert (at > boxes[:, :2]).all()
    assert (at < boxes[:, 2:]).all()


def test_no_objects_no_positives() -> None:
    points = location_points(SIZES, STRIDES, torch.device('cpu'))
    found = ATSSLocationAssigner(strides=STRIDES).assign(points, torch.zeros(0, 4))
    assert found.shape == (sum(h * w for h, w in SIZES),)
    assert (found == -1).all()


@pytest.mark.filterwarnings('ignore:std')
def test_a_single_location() -> None:
    points = location_points([(1, 1)], (8,), torch.device('cpu'))
    boxes = torch.tensor([[0.0, 0, 10, 10], [100, 100, 120, 120], [3, 3, 6, 6]])
    found = ATSSLocationAssigner(strides=(8,)).assign(points, boxes)
    assert found.tolist() == [0]


def test_levels_must_agree() -> None:
    points = location_points(SIZES, STRIDES, torch.device('cpu'))
    with pytest.raises(ValueError, match='zip'):
        ATSSLocationAssigner(strides=(8, 16)).assign(points, random_boxes(2))
