"""Contours of instances, against the distance to the border pixel by pixel, and as targets of SOLO's levels."""

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmagg.datasets.instance_contours import contour
from mmagg.models.targets import downsample_masks

# SOLO's ranges of sqrt(w * h), and the strides of the masks.
LEVELS = (((16, 96), 4), ((48, 192), 4), ((96, 384), 8), ((192, 768), 16), ((384, 900), 16))


def disc(diameter: float, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return (np.hypot(x, y) <= diameter / 2).astype(np.uint8)


@pytest.mark.parametrize('least, share', [(1, 0), (2, 0), (1, 0.25)])
def test_pixels_near_the_border(least: float, share: float) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((12, 15), np.uint8)
    mask[1:9, 4:] = rng.random((8, 11)) < 0.9  # up to the image's border
    rows, columns = mask.nonzero()
    side = ((np.ptp(rows) + 1) * (np.ptp(columns) + 1)) ** 0.5
    outside = np.argwhere(np.pad(mask, 1) == 0) - 1
    want = np.zeros_like(mask)
    for y, x in zip(rows, columns, strict=True):
        want[y, x] = np.hypot(*(outside - (y, x)).T).min() <= max(least, share * side) + 1e-5
    got = contour(mask, least=least, share=share)
    assert np.array_equal(got, want)
    assert 0 < got.sum() < mask.sum() or share
    assert not contour(np.zeros_like(mask), least=least, share=share).any()


@pytest.mark.parametrize('sizes, stride', LEVELS)
def test_no_contour_is_broken_in_the_targets(sizes: tuple[int, int], stride: int) -> None:
    """Seen from the centre, there is a pixel of the contour in every direction, and none in the centre."""
    for diameter in np.geomspace(*sizes, 6):
        mask = disc(diameter, 960)
        band = contour(mask, least=4, share=1 / 12)
        target = downsample_masks(torch.from_numpy(band[None]), stride=stride, size=(960 // stride,) * 2)[0].numpy()
        y, x = target.nonzero()
        centre = 480 / stride - 0.5
        angles = np.sort(np.arctan2(y - centre, x - centre))
        gaps = np.diff(angles, append=angles[0] + 2 * np.pi)
        assert gaps.max() < 2.1 * stride / (diameter / 2 - max(4, diameter / 12)), 'more than two pixels'
        if diameter > 40:
            assert not target[int(centre), int(centre)]


def test_the_transform_changes_masks_alone() -> None:
    masks = np.stack([disc(20, 32), disc(9, 32)])
    given = dict(img=np.zeros((32, 32, 3)), gt_bboxes=object(), gt_masks=BitmapMasks(masks, 32, 32))
    transform = TRANSFORMS.build(dict(type='InstanceContours', least=2, share=0.0))
    made = transform(given)
    assert {key for key in given if made[key] is not given[key]} == {'gt_masks'}
    assert made['gt_masks'].masks.shape == (2, 32, 32)
    assert (made['gt_masks'].masks <= masks).all()
    assert made['gt_masks'].masks.sum() < masks.sum()
    none = dict(gt_masks=BitmapMasks([], 32, 32))
    assert transform(none)['gt_masks'].masks.shape == (0, 32, 32)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(ValueError, match='least is 0'):
        TRANSFORMS.build(dict(type='InstanceContours', least=0))
    with pytest.raises(TypeError, match='not PolygonMasks'):
        TRANSFORMS.build(dict(type='InstanceContours'))(dict(gt_masks=PolygonMasks([], 8, 8)))
