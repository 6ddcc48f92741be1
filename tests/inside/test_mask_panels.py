"""Panels of masks at and around a cell."""

import numpy as np
import torch

from mmagg.inside.mask_panels import logits_panel, probs_panel
from mmagg.inside.representations import Surroundings
from mmagg.visualization.heat_map import CELL, Frame, logit_heat_map, prob_heat_map

GREY = np.full((30, 60, 3), 100, np.uint8)
WHOLE = Frame((32, 64), (32, 64))


def outlined(picture: np.ndarray) -> np.ndarray:
    """The pixels of a cell's outline."""
    return (picture == CELL).all(axis=-1)


def bordered(picture: np.ndarray) -> np.ndarray:
    """The pixels of a cell's outline and of the black lines beside it."""
    return outlined(picture) | (picture == 0).all(axis=-1)


def around(maps: torch.Tensor, cells: list[int], grid: int) -> Surroundings:
    return Surroundings(maps, torch.tensor(cells), grid, {1: 'self', 5: '4'}[len(cells)])


def test_tiles_stand_as_in_the_grid() -> None:
    maps = torch.stack([torch.full((8, 16), value) for value in (1.0, 2.0, 4.0, 3.0, 2.5)])
    panel = logits_panel(GREY, around(maps, [1, 4, 5, 6, 9], 4), WHOLE)
    assert panel.picture.shape == GREY.shape
    height, width = 7, 17  # (30 - 2 * 4) // 3, (60 - 2 * 4) // 3
    places = [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)]
    for value, (row, column) in zip((1.0, 2.0, 4.0, 3.0, 2.5), places, strict=True):
        top, left = row * (height + 4), column * (width + 4)
        tile = panel.picture[top : top + height, left : left + width]
        expected = logit_heat_map(np.full((1, 1, 3), 100, np.uint8), np.array([[value]]), 4.0)[0, 0]
        assert outlined(tile).any()
        inside = ~bordered(tile)
        assert np.abs(tile[inside].astype(int) - expected).max() <= 1
    assert (panel.picture[:height, :width] == 255).all()
    assert panel.below.ends == ('≤ −4', '≥ 4')


def test_one_mask_fills_its_panel() -> None:
    panel = probs_panel(GREY, around(torch.full((1, 8, 16), 0.5), [0], 1), WHOLE)
    expected = prob_heat_map(GREY, np.full((30, 60), 0.5))
    assert (~outlined(panel.picture)).sum() == 28 * 58
    inside = ~bordered(panel.picture)
    assert (panel.picture[inside] == expected[inside]).all()
    assert panel.below.ends == ('0', '1')
