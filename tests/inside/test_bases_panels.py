"""Panels of bases, attention and masks in boxes."""

import numpy as np
import pytest
import torch

from mmagg.inside.bases_panels import (
    attention_panel,
    bases_panel,
    cropped,
    image_panel,
    pooled_panel,
    prob_panel,
    tile_size,
)
from mmagg.visualization.heat_map import CELL, Frame, logit_heat_map, prob_heat_map

GREY = np.full((60, 60, 3), 100, np.uint8)
POINT = GREY[:1, :1]


def assert_colour(pixels: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    'shape, number, room, size',
    [
        ((30, 40), 1, (300, 400), (300, 400)),
        ((30, 40), 1, (300, 300), (225, 300)),
        ((40, 30), 1, (300, 300), (300, 225)),
        ((1.5, 2.0), 4, (304, 404), (150, 200)),  # two by two and a gap
        ((1, 1), 2, (300, 404), (200, 200)),  # side by side
        ((1, 1), 8, (308, 308), (100, 100)),  # three by three
        ((1, 1000), 1, (400, 400), (50, 400)),  # stretched, to be seen
    ],
)
def test_tiles_keep_their_proportions_and_fit(shape, number, room, size) -> None:
    assert tile_size(shape, number, room) == size


def test_maps_stand_row_by_row_in_the_middle() -> None:
    values = [1.0, -2.0, 3.0]
    panel = bases_panel(GREY, torch.tensor(values)[:, None, None].expand(3, 8, 8), Frame((60, 60), (60, 60)), (64, 100))
    size = 30
    for i, value in enumerate(values):
        y, x = i // 2 * (size + 4), 18 + i % 2 * (size + 4)
        tile = panel.picture[y : y + size, x : x + size]
        assert_colour(tile[20:, 20:], logit_heat_map(POINT, np.array([[value]]), 3.0)[0, 0])
        assert (tile[:3, :3] == 0).all(), 'its number'
    assert (panel.picture[:, :18] == 255).all()
    assert (panel.picture[34:, 52:] == 255).all(), 'there is no fourth'
    assert panel.below.ends == ('≤ −3', '≥ 3')


def test_bases_lose_the_padding() -> None:
    bases = torch.full((1, 8, 16), 2.0)
    bases[..., 12:] = -2
    panel = bases_panel(GREY, bases, Frame(padded=(32, 64), image=(32, 44)), (60, 60))
    assert_colour(panel.picture, logit_heat_map(POINT, np.array([[2.0]]), 2.0)[0, 0])


def test_attention_is_shown_place_by_place() -> None:
    attention = torch.rand(1, 4, 4)
    picture = attention_panel(GREY, attention, (60, 60)).picture
    for row in range(4):
        for column in range(4):
            place = picture[row * 15 : row * 15 + 15, column * 15 : column * 15 + 15]
            assert_colour(place, prob_heat_map(POINT, attention[:, row, column, None].numpy())[0, 0])


def test_masks_are_interpolated() -> None:
    probs = torch.zeros(14, 14)
    probs[:, 7:] = 1
    picture = prob_panel(GREY, probs, (60, 60)).picture
    for columns, value in ((np.s_[:25], 0), (np.s_[35:], 1)):
        assert_colour(picture[:, columns], prob_heat_map(POINT, np.array([[float(value)]]))[0, 0])
    assert len(np.unique(picture[30, 25:35], axis=0)) > 2


@pytest.mark.parametrize('grid', [None, 2])
def test_the_assembler_s_cells_are_outlined(grid) -> None:
    picture = pooled_panel(GREY, torch.ones(4, 8, 8), 3.0, grid, (124, 124)).picture
    outlined = (picture == CELL).all(axis=-1)
    if grid is None:
        assert not outlined.any()
        return
    for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        y, x = row * 64, column * 64
        rows, columns = np.nonzero(outlined[y : y + 60, x : x + 60])
        corners = (rows.min(), rows.max(), columns.min(), columns.max())
        assert corners == (i // 2 * 30, i // 2 * 30 + 29, i % 2 * 30, i % 2 * 30 + 29)


def test_a_crop_is_the_box_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert (cropped(image, (10, 5, 30, 25), (20, 20)) == image[5:25, 10:30]).all()
    halved = image[4:24, 10:30].reshape(10, 2, 10, 2, 3).mean((1, 3))
    assert_colour(cropped(image, (10, 4, 30, 24), (10, 10)), halved)
    beside = cropped(image, (-20, -10, 20, 10), (20, 40))
    assert (beside[:9] == 0).all()
    assert (beside[:, :19] == 0).all()
    assert (beside[10:, 20:] == image[:10, :20]).all()
    assert cropped(image, (49.2, 39.3, 49.9, 60), (8, 3)).shape == (8, 3, 3)


def test_a_picture_stands_in_the_middle_of_its_panel() -> None:
    panel = image_panel(GREY, 'text', (80, 100))
    assert panel.below == 'text'
    assert (panel.picture[10:70, 20:80] == 100).all()
    panel.picture[10:70, 20:80] = 255
    assert (panel.picture == 255).all()
