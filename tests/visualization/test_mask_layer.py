"""Masks laid over pictures, against the plain form over whole images."""

import subprocess
import sys
from time import perf_counter

import cv2
import numpy as np
import pytest
import torch

from mmagg.rle.codes import masks_to_rle
from mmagg.visualization import mask_layer
from mmagg.visualization.mask_layer import blend_inside, lay_mask, rim

COLOUR = np.array([30, 255, 140], np.uint8)
MEMORY = """
import resource
import numpy as np
from mmagg.rle.codes import masks_to_rle
from mmagg.visualization.overlay import draw_instances

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

image = np.full((4000, 6000, 3), 90, np.uint8)
rles = [{'size': [4000, 6000], 'counts': [0, 24_000_000]}, {'size': [4000, 6000], 'counts': [1, 23_999_998, 1]}]
draw_instances(image[:50, :50].copy(), np.ones((1, 50, 50), bool), [0])
before = peak()
draw_instances(image, rles, [0, 1], [0.9, 0.8])
print((peak() - before) / 24e6)
"""


def naive(picture: np.ndarray, mask: np.ndarray, thickness: int) -> np.ndarray:
    """The picture with a mask, (H, W) bool: 0.55 of the picture and 0.45 of the colour, then the contour."""
    filled = ((11 * picture.astype(int) + 9 * COLOUR.astype(int) + 10) // 20).astype(np.uint8)
    result = np.where(mask[..., None], filled, picture)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(result, contours, -1, COLOUR.tolist(), thickness, cv2.LINE_AA)


def some_masks(rng: np.random.Generator, height: int, width: int) -> list[np.ndarray]:
    """Blobs of all sizes, with holes and at the borders; nothing, all, all but a hole, and single pixels."""
    masks = [cv2.GaussianBlur(rng.random((height, width)), (0, 0), sigma) for sigma in (0.3, 1, 3, 8)]
    masks = [mask > np.quantile(mask, share) for mask in masks for share in (0.1, 0.5, 0.97)]
    masks += [np.zeros((height, width), bool), np.ones((height, width), bool), np.ones((height, width), bool)]
    masks[-1][height // 2, width // 2] = False
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
        masks.append(np.zeros((height, width), bool))
        masks[-1][y, x] = True
    return masks


@pytest.mark.parametrize('size', [(1, 1), (1, 30), (37, 53), (90, 61)])
@pytest.mark.parametrize('thickness', [1, 2, 5])
def test_equals_the_plain_form_over_the_whole_image(size: tuple[int, int], thickness: int, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(mask_layer, 'BAND', 200)  # of several rows, of one, and of less than one
    for mask in some_masks(rng, *size):
        picture = rng.integers(0, 256, (*size, 3), np.uint8)
        want = naive(picture, mask, thickness)
        for form in (mask, torch.from_numpy(mask), mask.astype(np.uint8), *masks_to_rle(mask[None])):
            drawn = picture.copy()
            lay_mask(drawn, form, COLOUR, thickness=thickness)
            np.testing.assert_array_equal(drawn, want)


def test_any_value_and_colour_blend_with_halves_rounded_up() -> None:
    values = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for colour in range(256):
        for opacity, parts in ((0.45, 9), (0.5, 10), (1, 20)):
            blended = values.copy()
            blend_inside(blended, np.ones((1, 256), np.uint8), (colour,) * 3, opacity)
            np.testing.assert_array_equal(blended, ((20 - parts) * values.astype(int) + parts * colour + 10) // 20)


def test_the_rim_is_what_contours_follow() -> None:
    for mask in some_masks(np.random.default_rng(1), 40, 50):
        inside, want = mask.astype(np.uint8), np.zeros((40, 50), np.uint8)
        for contour in cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]:
            want[contour[:, 0, 1], contour[:, 0, 0]] = 1
        np.testing.assert_array_equal(rim(inside), want)


@pytest.mark.parametrize('thickness', [1, 2, 3, 8])
def test_a_long_contour_differs_at_the_edges_of_its_line_alone(thickness: int, monkeypatch) -> None:
    monkeypatch.setattr(mask_layer, 'LONG', -1)
    rng = np.random.default_rng(2)
    for mask in some_masks(rng, 60, 80):
        picture = rng.integers(0, 256, (60, 80, 3), np.uint8)
        drawn = picture.copy()
        lay_mask(drawn, mask, COLOUR, thickness=thickness)
        differs = (drawn != naive(picture, mask, thickness)).any(axis=2)
        edge = rim(mask.astype(np.uint8))
        assert (drawn[edge == 1] == COLOUR).all()
        distance = cv2.distanceTransform(1 - edge, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        assert (abs(distance[differs] - (thickness + 1) / 2) < 2).all()


def test_a_contour_at_every_other_pixel_is_drawn_at_once() -> None:
    """For the lines of such a mask OpenCV takes minutes."""
    mask = np.indices((1500, 2000)).sum(axis=0) % 2 == 0
    picture = np.zeros((1500, 2000, 3), np.uint8)
    start = perf_counter()
    lay_mask(picture, masks_to_rle(mask[None])[0], COLOUR, thickness=3)
    assert perf_counter() - start < 10
    assert (picture == COLOUR).all()


def test_whole_images_take_few_bytes_a_pixel(root) -> None:
    done = subprocess.run([sys.executable, '-c', MEMORY], cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8  # of which three are the picture
