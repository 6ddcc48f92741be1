"""Semantic targets against a loop that paints one mask after the other at full size."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask

from mmagg.models.targets import semantic_target
from mmagg.rle.lengths import run_lengths

SIZES = [(64, 96), (37, 51), (8, 8), (1, 9)]


def paint(groups, *, size, stride):
    """The naive form: masks of full size, painted over each other, padded with zeros, every n-th pixel taken."""
    full = torch.zeros(size, dtype=torch.long)
    for masks, labels in groups:
        for mask, label in zip(masks.to_ndarray(), labels.tolist(), strict=True):
            full[: masks.height, : masks.width][torch.from_numpy(mask).bool()] = label + 1
    return full[::stride, ::stride]


def polygons(number, height, width, seed=0):
    """Stars and triangles, some of two parts, some beyond the image, one the placeholder of an unusable annotation."""
    rng = np.random.default_rng(seed)
    masks = []
    for i in range(number):
        parts = []
        for _ in range(1 + i % 2):
            angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
            radius = rng.uniform(0.1, 0.6, len(angle)) * [[width], [height]]
            centre = rng.uniform(0, 1, (2, 1)) * [[width], [height]]
            parts.append((centre + radius * [np.cos(angle), np.sin(angle)]).T.ravel())
        masks.append(parts)
    if number > 2:
        masks[2] = [np.zeros(6)]
    return PolygonMasks(masks, height, width)


def bitmaps(number, height, width, seed=0):
    return BitmapMasks(polygons(number, height, width, seed).to_ndarray().astype(np.uint8), height, width)


@pytest.mark.parametrize('make', [polygons, bitmaps])
@pytest.mark.parametrize('height, width', SIZES)
@pytest.mark.parametrize('stride', [8, 3, 1])
@pytest.mark.parametrize('padded', [False, True])
def test_equals_painting(make, height, width, stride, padded):
    masks, labels = make(7, height, width), torch.randint(0, 80, (7,))
    end = (height - height // 3, width - width // 4) if padded else (height, width)  # mmdet pads instances only
    crowds, crowd_labels = make(2, *end, seed=1), torch.randint(0, 80, (2,))
    size = (height + 5, width + 20)
    ours = semantic_target(masks, labels, crowds, crowd_labels, size=size, stride=stride)
    want = paint([(masks, labels), (crowds, crowd_labels)], size=size, stride=stride)
    assert ours.dtype == torch.long
    assert torch.equal(ours, want)
    alone = semantic_target(masks, labels, size=size, stride=stride)
    assert torch.equal(alone, paint([(masks, labels)], size=size, stride=stride))


def test_the_later_mask_and_the_crowd_win():
    square = BitmapMasks(np.ones((2, 16, 24), np.uint8), 16, 24)
    labels = torch.tensor([4, 0])
    assert semantic_target(square, labels, size=(32, 32)).tolist() == [[1, 1, 1, 0]] * 2 + [[0] * 4] * 2
    crowd = BitmapMasks(np.ones((1, 16, 24), np.uint8), 16, 24)
    assert semantic_target(square, labels, crowd, torch.tensor([7]), size=(16, 24)).eq(8).all()


@pytest.mark.parametrize('kind', [BitmapMasks, PolygonMasks])
def test_without_instances(kind):
    none = kind([], 20, 30)
    target = semantic_target(none, torch.zeros(0).long(), none, torch.zeros(0).long(), size=(32, 64))
    assert target.shape == (4, 8)
    assert target.eq(0).all()


def test_boolean_bitmaps():
    masks = bitmaps(3, 30, 40)
    labels = torch.arange(3)
    as_bool = BitmapMasks(masks.masks.astype(bool), 30, 40)
    assert torch.equal(semantic_target(as_bool, labels, size=(32, 64)), semantic_target(masks, labels, size=(32, 64)))


def test_lengths_of_runs():
    """Long runs take several groups of bits, and a shorter run after a longer one is a negative difference."""
    rng = np.random.default_rng(0)
    for lengths in ([5, 1000, 3, 70000, 1, 1, 40, 31, 32, 33], rng.integers(1, 5000, 101).tolist(), [0, 7], [9]):
        flat = np.repeat(np.arange(len(lengths)) % 2, lengths).astype(np.uint8)
        counts = coco_mask.encode(np.asfortranarray(flat[:, None]))['counts']
        assert run_lengths(counts).tolist() == lengths
