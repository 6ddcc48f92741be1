"""Stretches of columns against dense masks."""

import numpy as np
import pytest
import torch

from mmagg.ops import masks_to_rle
from mmagg.rle.codes import decode_mask
from mmagg.rle.columns import Stretches, placed_rle, resized_rle, stretches_of, stretches_to_rle

SIZES = [(1, 1), (1, 7), (9, 1), (13, 17), (40, 31)]


def some_masks(size: tuple[int, int]) -> np.ndarray:
    masks = torch.rand(12, *size) > torch.linspace(0, 1, 12)[:, None, None]
    masks[3] = (torch.arange(size[1]) % 3 == 0)[None]  # whole columns, whose runs go on in the next ones
    masks[4] = (torch.arange(size[1]) >= size[1] // 2)[None]
    return masks.numpy()


@pytest.mark.parametrize('size', SIZES)
def test_there_and_back(size: tuple[int, int]) -> None:
    for rle in masks_to_rle(some_masks(size)):
        assert stretches_to_rle(stretches_of(rle), size) == rle


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('more', [(0, 0, 0, 0), (2, 0, 5, 0), (0, 3, 0, 4), (1, 2, 3, 4)])
def test_a_tile_is_placed_in_its_image(size: tuple[int, int], more: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = more
    for rle in masks_to_rle(some_masks(size)):
        whole = np.pad(decode_mask(rle), ((top, bottom), (left, right)))
        assert placed_rle(rle, left, top, whole.shape) == masks_to_rle(whole[None])[0]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('new', [(1, 1), (7, 5), (52, 68), (40, 31), (3, 200)])
def test_resizing_takes_the_nearest_pixels(size: tuple[int, int], new: tuple[int, int]) -> None:
    rows, columns = ((2 * np.arange(new[i]) + 1) * size[i] // (2 * new[i]) for i in (0, 1))
    for rle in masks_to_rle(some_masks(size)):
        assert resized_rle(rle, new) == masks_to_rle(decode_mask(rle)[rows][:, columns][None])[0]


def test_a_part_is_measured() -> None:
    for rle in masks_to_rle(some_masks((40, 31))):
        for rectangle in ((0, 0, 31, 40), (3, 5, 20, 11), (30, 39, 31, 40), (4, 4, 4, 9)):
            x1, y1, x2, y2 = rectangle
            part = np.zeros((40, 31), bool)
            part[y1:y2, x1:x2] = decode_mask(rle)[y1:y2, x1:x2]
            found = stretches_of(rle).within(np.array(rectangle))
            rows, columns = np.nonzero(part)
            assert found.area() == part.sum()
            around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if part.any() else (0, 0, 0, 0)
            assert found.box() == around
            rest = stretches_of(rle).without(np.array(rectangle))
            assert stretches_to_rle(rest, (40, 31)) == masks_to_rle((decode_mask(rle) & ~part)[None])[0]


def test_an_image_of_more_pixels_than_are_counted_is_refused() -> None:
    one = Stretches(*(np.array([i]) for i in (0, 0, 1)))
    assert stretches_to_rle(one, (2**16, 2**16 - 1))['size'] == [65536, 65535]
    with pytest.raises(ValueError, match=r'65536 × 65536 pixels: RLE of pycocotools counts up to 4,294,967,295'):
        stretches_to_rle(one, (2**16, 2**16))
