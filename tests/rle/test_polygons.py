"""Masks as polygons and back."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmagg.rle.codes import decode_mask, masks_to_rle, rle_area
from mmagg.rle.polygons import mask_polygons, one_ring, polygons_to_rle, signed_area

RING_IN_CORNER = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)  # the hole touches the outside in a corner
PARTS_IN_CORNER = np.array([[1, 0], [0, 1]], bool)


def random_masks():
    rng = np.random.default_rng(0)
    for _ in range(200):
        yield rng.random(rng.integers(1, 14, 2)) < rng.choice([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])


def test_a_mask_survives_as_polygons_and_as_one_ring():
    for mask in random_masks():
        polygons, (rle,) = mask_polygons(mask), masks_to_rle(mask[None])
        assert sum(signed_area(ring) for polygon in polygons for ring in polygon) == mask.sum()
        assert polygons_to_rle(polygons, mask.shape) == rle
        assert mask_polygons(rle)[0][0].tolist() == polygons[0][0].tolist() if mask.any() else polygons == []
        if polygons:
            assert polygons_to_rle([[one_ring(polygons)]], mask.shape) == rle


def test_rings_are_simple_outer_ones_clockwise_and_holes_with_their_parts():
    for mask in random_masks():
        for outer, *holes in mask_polygons(mask):
            for ring in (outer, *holes):
                assert len({tuple(corner) for corner in ring}) == len(ring)
            assert signed_area(outer) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
            part = decode_mask(polygons_to_rle([[outer, *holes]], mask.shape))
            assert (part & mask).sum() == part.sum()


def test_pixels_that_touch_in_a_corner():
    assert [[ring.tolist() for ring in polygon] for polygon in mask_polygons(PARTS_IN_CORNER)] == [
        [[[0, 0], [1, 0], [1, 1], [0, 1]]],
        [[[1, 1], [2, 1], [2, 2], [1, 2]]],
    ]
    ((outer, hole),) = mask_polygons(RING_IN_CORNER)
    assert signed_area(outer) == 8
    assert signed_area(hole) == -1


def test_pixels_are_those_whose_centres_are_inside():
    rng = np.random.default_rng(1)
    for _ in range(50):
        height, width = rng.integers(2, 9, 2)
        rings = [rng.uniform(-3, 11, (rng.integers(3, 7), 2)) for _ in range(2)]
        inside = np.zeros((height, width), bool)
        for y in range(height):
            for x in range(width):
                for ring in rings:
                    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                        if (x0 <= x + 0.5) != (x1 <= x + 0.5):
                            inside[y, x] ^= y0 + (x + 0.5 - x0) / (x1 - x0) * (y1 - y0) <= y + 0.5
        assert np.array_equal(decode_mask(polygons_to_rle([rings], (height, width))), inside)


def test_coco_has_the_same_pixels_where_corners_are_integers_and_nothing_is_hollow():
    rng = np.random.default_rng(2)
    for _ in range(50):
        heights = rng.integers(1, 20, 8)
        mask = np.arange(20)[:, None] < np.repeat(heights, 3)
        ((ring,),) = mask_polygons(mask)
        theirs = coco_mask.merge(coco_mask.frPyObjects([ring.ravel().tolist()], *mask.shape))
        assert np.array_equal(coco_mask.decode(theirs).astype(bool), mask)
        assert np.array_equal(decode_mask(polygons_to_rle([[ring]], mask.shape)), mask)


def test_rounding_below_half_a_pixel_changes_nothing():
    rng = np.random.default_rng(3)
    for mask in random_masks():
        if mask.any():
            ring = one_ring(mask_polygons(mask))
            corners, place = np.unique(ring, axis=0, return_inverse=True)  # a bridge's ends are rounded alike
            near = (corners + rng.uniform(-0.02, 0.02, corners.shape))[place.ravel()]
            assert polygons_to_rle([[near]], mask.shape) == masks_to_rle(mask[None])[0]


def test_tolerance_has_fewer_corners_within_it():
    y, x = np.mgrid[:200, :200]
    disk = (x - 99.5) ** 2 + (y - 99.5) ** 2 < 90**2
    ((exact,),), ((rough,),) = mask_polygons(disk), mask_polygons(disk, tolerance=1.0)
    assert len(rough) < len(exact) / 4
    found = decode_mask(polygons_to_rle([[rough]], disk.shape))
    assert (found & disk).sum() / (found | disk).sum() > 0.98
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert mask_polygons(dot, tolerance=3.0) == []


@pytest.mark.parametrize('size', [(0, 0), (3, 0), (4, 5)])
def test_nothing_is_nothing(size):
    assert mask_polygons(np.zeros(size, bool)) == []
    assert rle_area(polygons_to_rle([], size)) == 0
