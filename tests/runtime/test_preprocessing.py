"""Images as exported models take them, against mmdet's pipeline."""

from dataclasses import replace

import numpy as np
import pytest
from mmdet.datasets.transforms import Resize

from mmagg.io.errors import InputError
from mmagg.runtime.description import Description
from mmagg.runtime.preprocessing import prepared

DESCRIBED = Description(family='grid', classes=('fig',), scale=(1333, 800), test_cfg={})
SIZES = [(480, 640), (640, 480), (1, 1), (7, 900), (427, 333), (1080, 1920), (800, 1333), (31, 30)]


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('keep_ratio', [True, False])
@pytest.mark.parametrize('scale', [(1333, 800), (320, 320), (97, 64)])
def test_resized_as_by_mmdet(scale: tuple[int, int], keep_ratio: bool, backend: str) -> None:
    rng = np.random.default_rng(0)
    described = replace(DESCRIBED, scale=scale, keep_ratio=keep_ratio, backend=backend)
    for size in SIZES:
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        want = Resize(scale=scale, keep_ratio=keep_ratio, backend=backend)({'img': image})
        if not all(want['img_shape']):
            continue
        found = prepared(image, described)
        np.testing.assert_array_equal(found.pixels, want['img'])
        assert (found.img_shape, found.size) == (want['img_shape'], size)


@pytest.mark.parametrize('keep_ratio', [True, False])
def test_a_fixed_shape_is_filled_with_the_mean(keep_ratio: bool) -> None:
    rng = np.random.default_rng(0)
    described = replace(DESCRIBED, shape=(96, 128), keep_ratio=keep_ratio)
    for size in SIZES:
        found = prepared(rng.integers(0, 256, (*size, 3), np.uint8), described)
        h, w = found.img_shape
        assert found.pixels.shape == (96, 128, 3)
        assert h == 96 or w == 128 or min(size) == 1
        outside = np.concatenate([found.pixels[h:].reshape(-1, 3), found.pixels[:, w:].reshape(-1, 3)])
        assert (outside == [104, 116, 124]).all()
    roomy = replace(described, scale=(60, 40), shape=(96, 128))
    assert prepared(np.zeros((80, 100, 3), np.uint8), roomy).img_shape == ((40, 50) if keep_ratio else (40, 60))


def test_grey_images_have_three_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    pixels = prepared(grey, DESCRIBED).pixels
    assert (pixels == pixels[..., :1]).all()


def test_too_narrow_images_are_named_by_their_size() -> None:
    with pytest.raises(
        InputError, match=r'^4000 × 1 pixels, cannot be transformed: too narrow, it would have 1333 × 0'
    ):
        prepared(np.zeros((1, 4000, 3), np.uint8), DESCRIBED)
