"""Heat maps of masks over their image."""

import numpy as np
import pytest
import torch

from mmagg.visualization.heat_map import (
    BAR,
    CELL,
    DIM,
    Frame,
    fit,
    logit_heat_map,
    logit_limit,
    logit_scale,
    outline_cell,
    prob_heat_map,
    prob_scale,
)

WHOLE = Frame((32, 64), (32, 64))


def outlined(picture: np.ndarray) -> np.ndarray:
    """The pixels of a cell's outline."""
    return (picture == CELL).all(axis=-1)


def test_maps_are_resized_and_lose_the_padding() -> None:
    maps = torch.zeros(2, 8, 16)
    maps[0, :, 12:] = 1  # in the padding alone
    maps[1, :4] = 1  # the upper half
    fitted = fit(maps, Frame(padded=(32, 64), image=(32, 44)), (64, 88))
    assert fitted.shape == (2, 64, 88)
    assert fitted[0].max() == 0
    assert fitted[1, :28].min() == 1
    assert fitted[1, 36:].max() == 0
    assert fit(maps, WHOLE, (4, 8)).shape == (2, 4, 8)


def test_thumbnails_of_fine_maps_are_averages() -> None:
    maps = torch.zeros(1, 64, 64)
    maps[..., ::8] = 1  # a bilinear resize without low pass gives 0 or 1
    fitted = fit(maps, Frame((64, 64), (64, 64)), (4, 4))
    assert np.abs(fitted - 1 / 8).max() < 0.05


def test_the_sign_of_a_logit_is_its_colour() -> None:
    values = np.array([[0, 2, -2, 1, 9, -9]], float)
    picture = np.full((1, 6, 3), (200, 200, 200), np.uint8)
    heat = logit_heat_map(picture, values, 2.0)[0].astype(int)
    assert heat[0].tolist() == [200 * DIM] * 3
    assert heat[1, 2] > heat[1, 0] + 40  # red
    assert heat[2, 0] > heat[2, 2] + 40  # blue
    assert heat[3, 2] > heat[3, 0]
    assert heat[4].tolist() == heat[1].tolist()
    assert heat[5].tolist() == heat[2].tolist()


def test_colour_bars_have_the_colours_of_the_maps() -> None:
    picture = np.full((1, BAR[1], 3), 128, np.uint8)
    for bar, line in (
        (logit_scale(3.0).strip, logit_heat_map(picture, np.linspace(-3, 3, BAR[1])[None], 3.0)),
        (prob_scale().strip, prob_heat_map(picture, np.linspace(0, 1, BAR[1])[None])),
    ):
        assert bar.shape == (*BAR, 3)
        assert (bar == line).all()


def test_the_closer_to_zero_a_probability_the_clearer_the_image() -> None:
    picture = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    contrast = [np.ptp(prob_heat_map(picture, np.full((1, 2), p)).astype(int), axis=1).max() for p in (0, 0.5, 1)]
    assert contrast[0] == round(255 * DIM)
    assert contrast[0] > contrast[1] > contrast[2] > 0


@pytest.mark.parametrize(
    'logits, limit',
    [
        ([-20.0] * 50 + [3.0] * 50, 5.0),  # the background is clipped, to a quarter of it at most
        ([-4.0] * 50 + [3.0] * 50, 3.0),
        ([-4.0] * 100, 1.0),  # nothing inside
        ([0.0] * 100, 1e-6),
    ],
)
def test_the_limit_of_colours_comes_from_what_is_inside(logits: list[float], limit: float) -> None:
    assert logit_limit(torch.tensor(logits)) == pytest.approx(limit)


def test_a_cell_is_outlined_at_its_place() -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    outline_cell(picture, 1 * 4 + 2, 4, Frame(padded=(60, 80), image=(60, 80)))
    rows, columns = np.nonzero(outlined(picture))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 29, 40, 59)
    picture = np.zeros((60, 80, 3), np.uint8)
    outline_cell(picture, 0, 4, Frame(padded=(120, 80), image=(60, 80)))  # the grid spans the padding, too
    assert np.nonzero(outlined(picture))[0].max() == 29
