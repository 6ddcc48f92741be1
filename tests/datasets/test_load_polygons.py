"""Polygons from annotations of every kind."""

import numpy as np
from mmdet.structures.mask import PolygonMasks
from pycocotools import mask as coco_mask

from mmagg.datasets.load_polygons import LoadPolygonAnnotations, outlines


def blob(height: int = 60, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    discs = ((x - 25) ** 2 + (y - 30) ** 2 < 20**2) | ((x - 65) ** 2 + (y - 20) ** 2 < 9**2)
    discs &= (x - 25) ** 2 + (y - 35) ** 2 > 8**2
    discs |= ((x - 24) ** 2 + (y - 35) ** 2 < 4**2) | ((x == 70) & (y == 50))
    return np.asfortranarray(discs.astype(np.uint8))


def uncompressed(mask: np.ndarray) -> dict:
    flat = mask.flatten(order='F')
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return dict(size=list(mask.shape), counts=np.diff(np.concatenate([[0], changes, [flat.size]])).tolist())


def test_outlines_are_the_mask() -> None:
    """Of four parts, one of them in a hole of another and one a pixel."""
    mask = blob()
    for rle in (coco_mask.encode(mask), uncompressed(mask)):
        polygons = outlines(rle)
        assert len(polygons) == 4
        again = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape)))
        assert (again == mask).all()


def test_all_kinds_are_loaded_and_crowds_stay_ignored() -> None:
    square = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
    instances = [
        dict(bbox=[10, 10, 30, 30], bbox_label=0, ignore_flag=0, mask=[square]),
        dict(bbox=[5, 10, 74, 50], bbox_label=1, ignore_flag=1, mask=uncompressed(blob())),
        dict(bbox=[5, 10, 74, 50], bbox_label=2, ignore_flag=0, mask=coco_mask.encode(blob())),
    ]
    results = LoadPolygonAnnotations()(dict(instances=instances, ori_shape=(60, 80)))
    assert results['gt_ignore_flags'].tolist() == [False, True, False]
    masks = results['gt_masks']
    assert masks.areas.tolist() == [400, blob().sum(), blob().sum()]
    assert (masks.flip().to_ndarray()[1:] == blob()[:, ::-1]).all()
    box = np.array([5, 10, 74, 51])
    at_once = masks.crop_and_resize(np.array([box, box], np.float32), (41, 69), np.array([1, 2])).masks
    assert (PolygonMasks(at_once, 41, 69).to_ndarray() == blob()[10:51, 5:74]).all()


def test_nothing_is_loaded_from_nothing() -> None:
    results = LoadPolygonAnnotations()(dict(instances=[], ori_shape=(60, 80)))
    assert len(results['gt_masks']) == 0
    empty = np.asfortranarray(np.zeros((60, 80), np.uint8))
    assert outlines(coco_mask.encode(empty)) == []
