"""Masks in their boxes against the release's, and against sampling one bin after the other."""

import numpy as np
import pytest
import torch
from golden_blendmask import bits, masks_of_images, per_image, read_case
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmagg.models.targets import box_mask_targets

CASES = [
    *('blender_56_4_14_bilinear', 'blender_28_4_4_nearest', 'blender_28_4_1_weighted_sum'),
    *('blender_28_16_4_assembler', 'blender_28_4_7_roipool', 'blender_28_4_7_alignv1'),
]


@pytest.mark.parametrize('name', CASES)
def test_targets_are_the_release_s(shared, name) -> None:
    case = read_case(shared, name)
    size = case['RKM'][0].item()
    ours = box_mask_targets(
        masks_of_images(case, tuple(case['image_hw'].tolist())), per_image(case, case['gt_boxes']), size=size
    )
    assert torch.equal(ours, bits(case['target_bits'], size))


def box_polygon(x1: float, y1: float, x2: float, y2: float) -> list[np.ndarray]:
    return [np.array([x1, y1, x2, y1, x2, y2, x1, y2])]


def test_each_object_is_cropped_to_its_own_box() -> None:
    """Boxes of whole bins: a rectangle fills exactly the bins that it covers, as a polygon and as a bitmap."""
    boxes = torch.tensor([[4.0, 2, 20, 10], [8, 8, 16, 24], [0, 0, 32, 32]])
    inside = [(4, 2, 12, 10), (8, 12, 16, 18), (8, 8, 24, 24)]
    polygons = PolygonMasks([box_polygon(*x) for x in inside], 32, 32)
    bitmaps = np.zeros((3, 32, 32), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(bitmaps, inside, strict=True):
        mask[y1:y2, x1:x2] = 1
    want = torch.zeros(3, 8, 8, dtype=torch.uint8)
    for target, (left, top, right, bottom), (x1, y1, x2, y2) in zip(want, boxes.tolist(), inside, strict=True):
        across, down = 8 / (right - left), 8 / (bottom - top)
        rows = slice(round((y1 - top) * down), round((y2 - top) * down))
        target[rows, round((x1 - left) * across) : round((x2 - left) * across)] = 1
    for masks in (polygons, BitmapMasks(bitmaps, 32, 32)):
        got = box_mask_targets([masks], [boxes], size=8)
        assert got.dtype == torch.uint8
        assert torch.equal(got, want)


@pytest.mark.parametrize('kind', ['polygons', 'bitmaps'])
def test_images_follow_one_another_and_some_are_empty(kind: str) -> None:
    masks = [
        PolygonMasks([box_polygon(*x)] * n, 20, 30)
        for x, n in (((2, 2, 9, 9), 2), ((0, 0, 1, 1), 0), ((5, 1, 25, 19), 1))
    ]
    if kind == 'bitmaps':
        masks = [BitmapMasks(x.to_ndarray().reshape(-1, 20, 30), 20, 30) for x in masks]
    boxes = [torch.rand(n, 2).repeat(1, 2) + torch.tensor([0.0, 0, 25, 18]) for n in (2, 0, 1)]
    together = box_mask_targets(masks, boxes, size=7)
    assert together.shape == (3, 7, 7)
    assert together.any()
    alone = [box_mask_targets([m], [b], size=7) for m, b in zip(masks, boxes, strict=True)]
    assert torch.equal(together, torch.cat(alone))
    assert alone[1].shape == (0, 7, 7)
    with pytest.raises(ValueError, match='zip'):
        box_mask_targets(masks, boxes[:2], size=7)
