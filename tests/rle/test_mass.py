"""Areas and centres of mass of run-length codes against those of their pixels."""

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch

from mmagg.models.targets.grid_cell_assigner import mass
from mmagg.rle.mass import rle_mass


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (60, 84), (500, 3)])
def test_as_of_the_pixels(size: tuple[int, int]) -> None:
    masks = torch.rand(12, *size) < torch.linspace(0, 1, 12)[:, None, None]  # the first is empty
    masks[-1] = True
    rles = [coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in masks]
    areas, centres = rle_mass(rles)
    expected = mass(masks, torch.float64)
    assert areas.tolist() == expected[0].tolist()
    assert centres.tolist() == expected[1].tolist(), 'to the last bit'


def test_forms_of_counts() -> None:
    plain = {'size': [4, 3], 'counts': [5, 2, 5]}
    packed = coco_mask.frPyObjects(plain, 4, 3)
    for rle in plain, packed, {**packed, 'counts': packed['counts'].decode()}:
        areas, centres = rle_mass([rle])
        assert (areas.tolist(), centres.tolist()) == ([2], [[1, 1.5]])


def test_of_none() -> None:
    areas, centres = rle_mass([])
    assert (areas.shape, centres.shape) == ((0,), (0, 2))
