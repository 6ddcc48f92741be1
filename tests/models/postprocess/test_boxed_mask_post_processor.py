"""Detections of boxes against loops over locations, classes and boxes; pasted masks against whole images."""

import math

import pytest
import torch
from torch import Tensor

from mmagg.models.postprocess import BoxedMaskPostProcessor, DetectedBoxes
from mmagg.ops import paste_masks, rle_to_masks

SIZE = (60, 80)


def locations(number: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Probabilities of three classes, centerness and overlapping boxes, on two levels; some beyond the image."""
    levels = [number, number // 3]
    corners = [torch.rand(n, 2) * torch.tensor([70.0, 50]) - 10 for n in levels]
    boxes = [torch.cat([x, x + 5 + 40 * torch.rand(len(x), 2)], 1) for x in corners]
    return [torch.rand(n, 3) for n in levels], [torch.rand(n) for n in levels], boxes


def detected(post: BoxedMaskPostProcessor, case: tuple) -> DetectedBoxes:
    """What is found at the locations of several levels."""
    return post.detect(*map(torch.cat, case), [len(x) for x in case[1]], SIZE)


def iou(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(w, 0) * max(h, 0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def naive(probs, centerness, boxes, *, score_thr, filter_by, nms_pre, iou_thr, max_per_img, sqrt_score, clip_boxes):
    """(score, label, place, box) of what is left, the best first."""
    candidates, before = [], 0
    for level in range(len(probs)):
        found = []
        for q in range(len(probs[level])):
            box = boxes[level][q].tolist()
            if clip_boxes:
                box = [min(max(v, 0), most) for v, most in zip(box, (SIZE[1], SIZE[0]) * 2, strict=True)]
            for label in range(3):
                p, c = probs[level][q, label].item(), centerness[level][q].item()
                if (p if filter_by == 'class' else p * c) > score_thr:
                    found.append((math.sqrt(p * c) if sqrt_score else p * c, label, before + q, box))
        candidates += sorted(found, reverse=True)[:nms_pre]
        before += len(probs[level])
    kept = []
    for own in sorted(candidates, reverse=True):
        if all(own[1] != other[1] or iou(own[3], other[3]) <= iou_thr for other in kept):
            kept.append(own)
    return kept[:max_per_img]


@pytest.mark.parametrize('nms_pre, max_per_img', [(1000, 100), (12, 7)])
@pytest.mark.parametrize('filter_by', ['score', 'class'])
@pytest.mark.parametrize('sqrt_score, clip_boxes', [(True, True), (False, False)])
def test_boxes_that_survive(filter_by, sqrt_score, clip_boxes, nms_pre, max_per_img) -> None:
    options = dict(
        score_thr=0.3, filter_by=filter_by, nms_pre=nms_pre, iou_thr=0.4, max_per_img=max_per_img,
        sqrt_score=sqrt_score, clip_boxes=clip_boxes,
    )  # fmt: skip
    case = locations(40)
    found, want = detected(BoxedMaskPostProcessor(**options), case), naive(*case, **options)
    assert len(want) > 5
    assert found.scores.tolist() == pytest.approx([x[0] for x in want], rel=1e-5)
    assert found.labels.tolist() == [x[1] for x in want]
    assert found.places.tolist() == [x[2] for x in want]
    torch.testing.assert_close(found.boxes, torch.tensor([x[3] for x in want]))


def test_classes_do_not_suppress_each_other_beyond_the_image() -> None:
    """NMS works with negative coordinates as well."""
    box = torch.tensor([[-90.0, -90, -2, -2]]).expand(3, 4)
    found = detected(BoxedMaskPostProcessor(clip_boxes=False), ([torch.eye(3)], [torch.ones(3)], [box]))
    assert sorted(found.labels.tolist()) == [0, 1, 2]


def some_boxes(number: int) -> DetectedBoxes:
    corner = torch.rand(number, 2) * torch.tensor([90.0, 70]) - 10
    boxes = torch.cat([corner, corner + 3 + 30 * torch.rand(number, 2)], 1)
    boxes[1::4, 2] = boxes[1::4, 0]  # without an area
    boxes[2::4] += 200  # outside
    scores = torch.rand(number).sort(descending=True).values
    return DetectedBoxes(boxes, scores, torch.arange(number) % 3, torch.arange(number) + 50)


@pytest.mark.parametrize('byte_budget', [1, 2**26])
@pytest.mark.parametrize('mask_format', ['bitmap', 'rle'])
def test_masks_are_pasted_into_boxes_of_the_original_image(mask_format: str, byte_budget: int) -> None:
    detections, logits, out = some_boxes(20), torch.randn(20, 7, 7), (91, 123)
    post = BoxedMaskPostProcessor(mask_format=mask_format, byte_budget=byte_budget, mask_thr=0.4)
    result = post.paste(logits, detections, img_shape=SIZE, out_size=out)
    kept, boxes = [], []
    for i, (x1, y1, x2, y2) in enumerate(detections.boxes.tolist()):
        x1, x2 = (min(max(v * out[1] / SIZE[1], 0), out[1]) for v in (x1, x2))
        y1, y2 = (min(max(v * out[0] / SIZE[0], 0), out[0]) for v in (y1, y2))
        if x2 > x1 and y2 > y1:
            kept.append(i)
            boxes.append([x1, y1, x2, y2])
    assert 5 < len(kept) <= 10
    torch.testing.assert_close(result.bboxes, torch.tensor(boxes))
    for field in ('scores', 'labels', 'places'):
        assert torch.equal(result[field], getattr(detections, field)[kept])
    want = paste_masks(logits[kept].sigmoid(), result.bboxes, out_size=out, mask_thr=0.4, byte_budget=2**26)
    masks = rle_to_masks(result.masks, *out) if mask_format == 'rle' else result.masks
    assert want.any()
    assert torch.equal(masks, want)


@pytest.mark.parametrize('mask_format', ['bitmap', 'rle'])
def test_nothing_is_typed(mask_format: str) -> None:
    post = BoxedMaskPostProcessor(mask_format=mask_format, score_thr=0.99)
    for case in (locations(0), [[x / 2 for x in part] for part in locations(9)]):
        found = detected(post, case)
        assert found.boxes.shape == (0, 4)
        assert found.labels.dtype == found.places.dtype == torch.long
        result = post.paste(torch.zeros(0, 7, 7), found, img_shape=SIZE, out_size=(30, 40))
        assert result.bboxes.shape == (0, 4)
        assert result.masks == [] if mask_format == 'rle' else result.masks.shape == (0, 30, 40)


@pytest.mark.parametrize(
    'key, value',
    [
        ('score_thr', 1.0),
        ('filter_by', 'box'),
        ('nms_pre', 0),
        ('iou_thr', 0.0),
        ('max_per_img', 0),
        ('mask_thr', 1.0),
        ('mask_format', 'polygon'),
        ('byte_budget', 0),
    ],
)
def test_bad_values_are_named(key: str, value) -> None:
    with pytest.raises(ValueError, match=rf'BoxedMaskPostProcessor \(test_cfg\): {key} is {value!r}'):
        BoxedMaskPostProcessor(**{key: value})
    with pytest.raises(TypeError, match='update_thr'):
        BoxedMaskPostProcessor(update_thr=0.05)
