"""Crops on an instance, and the pipeline that they stand in."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmengine.registry import init_default_scope

from mmagg.apis.config import load_config
from mmagg.datasets.crop_on_instance import RandomCropOnInstance
from mmagg.datasets.load_polygons import LoadPolygonAnnotations


def loaded(polygons: list[list[list[float]]], height: int, width: int) -> dict:
    """What the first two steps of a pipeline give for objects of these polygons; every third is a crowd."""
    points = [np.concatenate([np.reshape(p, (-1, 2)) for p in one]) for one in polygons]
    instances = [
        dict(bbox=[*xy.min(0), *xy.max(0)], bbox_label=i, ignore_flag=int(i % 3 == 2), mask=one)
        for i, (xy, one) in enumerate(zip(points, polygons, strict=True))
    ]
    image = dict(img=np.zeros((height, width, 3), np.uint8), img_shape=(height, width), ori_shape=(height, width))
    return LoadPolygonAnnotations()(dict(instances=instances, **image))


def triangles(number: int, height: int, width: int, rng: np.random.Generator) -> list[list[list[float]]]:
    """Objects whose boxes are much larger than what a crop may leave of them."""
    corners = rng.uniform(0, 1, (number, 3, 2)) * (width, height)
    return [[one.reshape(-1).tolist()] for one in corners]


@pytest.fixture
def steps(root: Path) -> Compose:
    """The pipeline of the config, from the crop on."""
    init_default_scope('mmdet')
    pipeline = load_config(root / 'configs/blendmask/blendmask_r101-dcni3_fpn_5x_coco.py').train_dataloader.dataset
    return Compose([TRANSFORMS.build(step) for step in pipeline.pipeline[2:-1]])


def assert_boxes_are_the_masks(results: dict) -> None:
    masks, boxes = results['gt_masks'], results['gt_bboxes'].numpy()
    keys = ('gt_ignore_flags', 'gt_bboxes_labels')
    assert {len(masks), *(len(results[key]) for key in keys)} == {len(boxes)}
    height, width = results['img'].shape[:2]
    assert (masks.height, masks.width) == results['img_shape'] == (height, width)
    for polygons, box in zip(masks.masks, boxes, strict=True):
        xy = np.concatenate([p.reshape(-1, 2) for p in polygons])
        assert np.abs([*xy.min(0), *xy.max(0)] - box).max() < 1e-2
        assert (box[2:] > box[:2]).all()
        assert box.min() > -1e-3
        assert (box[2:] < (width + 1e-3, height + 1e-3)).all()


def test_boxes_are_recomputed_and_nothing_is_left_empty(steps: Compose) -> None:
    rng, short, fewer, sizes = np.random.default_rng(0), [], 0, set()
    np.random.seed(0)
    for _ in range(40):
        tiny = [[[0.5, 0.5, 4, 0.5, 0.5, 4]], [[296, 196, 299, 199, 296, 199]]]  # in corners, where a crop may end
        results = steps(loaded([*triangles(6, 200, 300, rng), *tiny], 200, 300))
        assert_boxes_are_the_masks(results)
        fewer += len(results['gt_bboxes']) < 8
        short.append(min(results['img_shape']))
        sizes.add(results['img_shape'])
    assert fewer > 10
    assert 640 <= min(short) < 680 < 820 < max(short) <= 864
    assert any(side % 32 for side in short)
    assert max(max(size) for size in sizes) <= 1440


def test_an_object_whose_polygon_vanishes_is_gone(steps: Compose) -> None:
    """The box of an L stays in the crop after the L itself is out of it."""
    corner = [[0, 0, 100, 0, 100, 2, 2, 2, 2, 100, 0, 100]]
    np.random.seed(0)
    sizes = []
    for _ in range(30):
        results = steps(loaded([corner, [[45, 45, 60, 45, 60, 60, 45, 60]]], 100, 100))
        assert_boxes_are_the_masks(results)
        sizes.append(len(results['gt_bboxes']))
    assert set(sizes) == {1, 2}


def test_without_objects(steps: Compose) -> None:
    results = steps(loaded([], 80, 90))
    assert len(results['gt_bboxes']) == len(results['gt_masks']) == 0


def test_the_centre_of_an_instance_is_in_every_place_of_the_crop_that_can_hold_it() -> None:
    np.random.seed(0)
    crop = RandomCropOnInstance(crop_type='absolute', crop_size=(30, 20))
    given = loaded([[[70, 10, 90, 10, 90, 20, 70, 20]]], 60, 100)  # centre (80, 15), image 100 x 60, crop 30 x 20
    offsets = []
    for _ in range(800):
        results = crop(deepcopy(given))
        assert results['img'].shape[:2] == (20, 30)
        offsets.append((-results['homography_matrix'][:2, 2]).tolist())
    x, y = np.array(offsets).T
    assert (x.min(), x.max()) == (50, 70), 'the crop must end before the image does'
    assert (y.min(), y.max()) == (0, 15)
    assert np.abs(np.bincount(x.astype(int))[50:] / 800 - 1 / 21).max() < 0.03


def test_photographs(steps: Compose, shared: Path) -> None:
    truth = json.loads((shared / 'data/coco_open_125/annotations/instances_val.json').read_text())
    np.random.seed(0)
    objects = 0
    for image in truth['images']:
        mine = [x['segmentation'] for x in truth['annotations'] if x['image_id'] == image['id']]
        polygons = [x for x in mine if isinstance(x, list)][:10]
        results = steps(loaded(polygons, image['height'], image['width']))
        assert_boxes_are_the_masks(results)
        objects += len(results['gt_bboxes'])
    assert objects > 20
