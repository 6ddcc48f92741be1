"""Masks in given boxes against the masks that the model has in its own, and locations against a search of all."""

import math
from functools import cache

import pytest
import torch
from boxed_heads import RANGES, STRIDES, boxed_head, pyramid
from coded_heads import coded_head
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.hub import get_config
from mmengine.structures import InstanceData
from torch import nn

from mmagg.experiments.mask_branch import GivenBoxes, fill_boxes, mask_branch, responsible_places
from mmagg.models.targets import ATSSLocationAssigner, LocationAssigner, location_points
from mmagg.ops import rle_to_masks

# Half of the network's input, so that boxes are scaled without rounding.
HEIGHT, WIDTH = 48, 64
SAMPLE = DetDataSample(
    metainfo=dict(
        ori_shape=(HEIGHT, WIDTH),
        img_shape=(2 * HEIGHT, 2 * WIDTH),
        batch_input_shape=(2 * HEIGHT, 2 * WIDTH),
        scale_factor=(2.0, 2.0),
    )
)
ROI_HEADS = {
    'mask': '_base_/models/mask-rcnn_r50_fpn.py',
    'cascade': '_base_/models/cascade-mask-rcnn_r50_fpn.py',
    'htc': 'htc/htc_r50_fpn_1x_coco.py',
    'htc-without-semantic': 'htc/htc-without-semantic_r50_fpn_1x_coco.py',
    'scnet': 'scnet/scnet_r50_fpn_1x_coco.py',
    'scoring': 'ms_rcnn/ms-rcnn_r50-caffe_fpn_1x_coco.py',
    'point-rend': 'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
}
SMALL = {256: 8, 1024: 16, 80: 4, 81: 5, 183: 6, 12544: 392}  # channels and classes


def holder(**modules: nn.Module) -> nn.Module:
    """Stands for a model with these parts."""
    model = nn.Module()
    for name, module in modules.items():
        model.add_module(name, module)
    return model


def shrunk(value):
    """A config with few channels and classes."""
    if isinstance(value, dict):
        return type(value)({key: x if key in ('loss_weight', 'topk') else shrunk(x) for key, x in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(map(shrunk, value))
    return SMALL.get(value, value) if type(value) is int else value


@cache
def roi_head(kind: str) -> nn.Module:
    model = get_config(f'mmdet::{ROI_HEADS[kind]}').model
    test_cfg = model.test_cfg.rcnn
    test_cfg.score_thr = 0.2
    torch.manual_seed(0)
    head = MODELS.build(dict(shrunk(model.roi_head), test_cfg=test_cfg)).eval()
    with torch.no_grad():
        for p in head.parameters():
            if p.ndim > 1:
                p.normal_(std=0.2 if p.ndim == 4 else 0.05)
    return head


def roi_feats() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(2 * HEIGHT // stride, 2 * WIDTH // stride) for stride in (4, 8, 16, 32, 64)]
    return tuple(torch.randn(1, 8, max(1, h), w, generator=generator) for h, w in sizes)


def as_given(found: InstanceData) -> GivenBoxes:
    return GivenBoxes(found.bboxes.clone(), found.scores.clone(), found.labels)


def filled_masks(filled) -> torch.Tensor:
    return rle_to_masks(filled.masks, HEIGHT, WIDTH).bool()


@pytest.mark.parametrize('kind', ROI_HEADS)
def test_own_boxes_give_own_masks(kind: str) -> None:
    head, feats = roi_head(kind), roi_feats()
    corners = torch.rand(30, 2, 2, generator=torch.Generator().manual_seed(2)).sort(1).values
    proposals = InstanceData(bboxes=corners.flatten(1) * torch.tensor([2 * WIDTH, 2 * HEIGHT]).repeat(2))
    with torch.no_grad():
        own = head.predict(feats, [proposals], [SAMPLE], rescale=True)[0]
    area = own.masks.flatten(1).sum(1)
    assert len(own) > 5
    assert (area > 0).sum() > 3
    filled = fill_boxes(mask_branch(holder(roi_head=head)), feats, SAMPLE, as_given(own))
    assert 'predict_bbox' not in vars(head)
    assert filled.kept == list(range(len(own)))
    torch.testing.assert_close(filled_masks(filled), own.masks, rtol=0, atol=0)
    if kind != 'scoring':  # it multiplies the scores by a mask's quality, here once more
        assert filled.scores == own.scores.tolist()


def test_other_boxes_give_other_masks_box_by_box(monkeypatch: pytest.MonkeyPatch) -> None:
    branch, feats = mask_branch(holder(roi_head=roi_head('mask'))), roi_feats()
    boxes = torch.tensor([[4.0, 4, 40, 30], [10, 8, 60, 44], [0, 0, 20, 20]])
    given = GivenBoxes(boxes, torch.tensor([0.9, 0.8, 0.1 + 1e-12], dtype=torch.float64), torch.tensor([0, 3, 1]))
    filled = fill_boxes(branch, feats, SAMPLE, given)
    assert filled.scores == given.scores.tolist()
    for i in range(3):
        alone = fill_boxes(branch, feats, SAMPLE, GivenBoxes(*(x[i : i + 1] for x in given)))
        assert alone.masks == filled.masks[i : i + 1]
    monkeypatch.setattr('mmagg.experiments.mask_branch.MASK_BYTES', 2 * HEIGHT * WIDTH)
    assert fill_boxes(branch, feats, SAMPLE, given) == filled


HEADS = {
    'blend': lambda: boxed_head('blend'),
    'assemble': lambda: boxed_head('assemble'),
    'codes': lambda: coded_head('codes'),
    'large kernel': lambda: coded_head('large kernel'),
    'atss': lambda: coded_head('atss'),
}


@pytest.mark.parametrize('kind', HEADS)
def test_own_detections_give_own_masks_where_their_location_is_responsible(kind: str) -> None:
    head, feats = HEADS[kind]().eval(), pyramid(1, 2 * HEIGHT, 2 * WIDTH)
    with torch.no_grad():
        head.boxes.conv_box.weight.mul_(0.2)  # boxes whose centre is near their location
        own = head.predict(feats, [SAMPLE])[0]
    sizes = [x.shape[-2:] for x in feats]
    same = responsible_places(head.boxes.assigner, 2 * own.bboxes, sizes) == own.places
    assert 5 < same.sum() < len(own)
    filled = fill_boxes(mask_branch(holder(mask_head=head)), feats, SAMPLE, as_given(own))
    assert head.post_process.mask_format == 'bitmap'
    assert filled.kept == list(range(len(own)))
    assert filled.scores == own.scores.tolist()
    masks = filled_masks(filled)
    if head.coefficients is None:
        same[:] = True  # masks from the box alone
    torch.testing.assert_close(masks[same], own.masks[same], rtol=0, atol=0)
    assert (own.masks[same].flatten(1).any(1)).sum() > 3
    assert (masks != own.masks).any() == (head.coefficients is not None)


def searched_place(assigner, box: list[float], sizes) -> int:
    """Among all locations in double precision: the nearest ones of each level, then the level."""
    x1, y1, x2, y2 = box
    best, before = [], 0
    for level, points in enumerate(location_points(sizes, assigner.strides, torch.device('cpu'))):
        at = [(math.hypot(x - (x1 + x2) / 2, y - (y1 + y2) / 2), i, x, y) for i, (x, y) in enumerate(points.tolist())]
        _, i, x, y = min(at)
        if isinstance(assigner, ATSSLocationAssigner):
            reach = assigner.anchor_scale * assigner.strides[level] / 2
            width = max(0, min(x2, x + reach) - max(x1, x - reach))
            height = max(0, min(y2, y + reach) - max(y1, y - reach))
            common = width * height
            misfit = -common / ((x2 - x1) * (y2 - y1) + 4 * reach * reach - common)
        else:
            low, high = assigner.ranges[level]
            farthest = max(x - x1, y - y1, x2 - x, y2 - y)
            misfit = low - farthest if farthest < low else farthest - high if farthest > high else 0
        best.append((misfit, level, before + i))
        before += len(points)
    return min(best)[2]


@pytest.mark.parametrize(
    'assigner',
    [LocationAssigner(strides=STRIDES, ranges=RANGES), ATSSLocationAssigner(strides=STRIDES, anchor_scale=4)],
)
def test_responsible_places_against_a_search(assigner) -> None:
    sizes = [(17, 23), (9, 12), (5, 6)]
    corners = torch.rand(200, 2, 2, generator=torch.Generator().manual_seed(0)).sort(1).values
    boxes = corners.flatten(1) * torch.tensor([183.0, 135]).repeat(2)
    boxes[:60, 2:] = boxes[:60, :2] + 0.2 * (boxes[:60, 2:] - boxes[:60, :2])
    boxes[60:70, 2:] += 60  # centres beyond the maps
    places = responsible_places(assigner, boxes, sizes)
    assert places.tolist() == [searched_place(assigner, box, sizes) for box in boxes.tolist()]
    levels = torch.bucketize(places, torch.tensor([17 * 23, 17 * 23 + 9 * 12]), right=True)
    assert levels.bincount(minlength=3).min() > 5
    assert responsible_places(assigner, boxes[:0], sizes).shape == (0,)


def test_a_responsible_place_is_a_positive_one() -> None:
    assigner, sizes = LocationAssigner(strides=STRIDES, ranges=RANGES), [(16, 24), (8, 12), (4, 6)]
    points = location_points(sizes, STRIDES, torch.device('cpu'))
    # Objects of more than a stride; half of the longer side is well within a range.
    boxes = torch.tensor([[20.0, 20, 60, 50], [50, 31, 140, 121], [7, 9, 27, 23], [10, 5, 180, 120]])
    for box in boxes:
        assert assigner.assign(points, box[None])[responsible_places(assigner, box[None], sizes)].item() == 0


def test_boxes_without_area_in_the_image_have_no_mask() -> None:
    boxes = torch.tensor(
        [[64.0, 4, 70, 20], [3, 3, 3, 20], [50, 30, 80, 60], [5, 5, 40, 40], [-9, -9, 0, 0], [50, 9, 50 + 4e-6, 40]]
    )
    scores, labels = torch.linspace(0.9, 0.1, 6), torch.zeros(6, dtype=torch.long)
    whole = boxes.clone()
    whole[2] = torch.tensor([50.0, 30, 64, 48])
    for part, feats in (
        (dict(roi_head=roi_head('mask')), roi_feats()),
        (dict(mask_head=boxed_head('blend').eval()), pyramid(1, 2 * HEIGHT, 2 * WIDTH)),
    ):
        branch = mask_branch(holder(**part))
        filled = fill_boxes(branch, feats, SAMPLE, GivenBoxes(boxes, scores, labels))
        assert filled.kept[:2] == [2, 3]
        assert filled.scores[:2] == scores[2:4].tolist()
        assert fill_boxes(branch, feats, SAMPLE, GivenBoxes(whole, scores, labels)) == filled
        nothing = fill_boxes(branch, feats, SAMPLE, GivenBoxes(boxes[:2], scores[:2], labels[:2]))
        assert nothing == ([], [], [])
        assert fill_boxes(branch, feats, SAMPLE, GivenBoxes(boxes[:0], scores[:0], labels[:0])) == ([], [], [])


def test_boxes_that_rounding_makes_flat_are_left_out() -> None:
    sample = SAMPLE.clone()
    sample.set_metainfo(dict(img_shape=(33, 44)))
    left = torch.linspace(47, 63, 50)
    boxes = torch.stack([left, torch.full_like(left, 9), left.nextafter(left + 1), torch.full_like(left, 40)], dim=1)
    boxes[20] = torch.tensor([5.0, 5, 40, 40])
    given = GivenBoxes(boxes, torch.linspace(0.9, 0.1, 50), torch.zeros(50, dtype=torch.long))
    head, feats = boxed_head('blend').eval(), pyramid(1, 33, 44)
    filled = fill_boxes(mask_branch(holder(mask_head=head)), feats, sample, given)
    assert 20 in filled.kept
    assert 1 < len(filled.kept) < 50
    assert filled.scores == given.scores[filled.kept].tolist()
    alone = fill_boxes(mask_branch(holder(mask_head=head)), feats, sample, GivenBoxes(*(x[20:21] for x in given)))
    assert filled.masks[filled.kept.index(20)] == alone.masks[0]


def test_what_has_no_mask_branch_for_boxes_is_refused() -> None:
    plain = roi_head('mask')
    queries = MODELS.build(shrunk(get_config('mmdet::queryinst/queryinst_r50_fpn_1x_coco.py').model.roi_head))
    without = MODELS.build(shrunk(get_config('mmdet::_base_/models/faster-rcnn_r50_fpn.py').model.roi_head))
    for model in (nn.Module(), holder(mask_head=plain.mask_head), holder(roi_head=queries), holder(roi_head=without)):
        with pytest.raises(ValueError, match='no mask branch that takes boxes'):
            mask_branch(model)
    head = boxed_head('blend')
    head.boxes.assigner = object()
    with pytest.raises(ValueError, match='does not tell which location'):
        mask_branch(holder(mask_head=head))
    with pytest.raises(ValueError, match='boxes without masks'):
        mask_branch(holder(mask_head=boxed_head('no semantic', masks=None)))
