"""Heat maps of masks, and the sheets that they stand on."""

import numpy as np
import pytest
import torch

from mmagg.inside.heat_map import (
    BAR,
    CELL,
    DIM,
    Frame,
    fit,
    logit_bar,
    logit_heat_map,
    logit_limit,
    outline_cell,
    prob_bar,
    prob_heat_map,
)
from mmagg.inside.mask_panels import (
    BELOW,
    COLUMN_GAP,
    COLUMN_WIDTH,
    HEADING,
    TITLE,
    Panel,
    Scale,
    logits_panel,
    panel_sheet,
    probs_panel,
)
from mmagg.inside.representations import Surroundings
from mmagg.inside.thumbnail_sheet import IMAGE_WIDTH, THUMBNAIL_WIDTH, TICKS, thumbnail_sheet, thumbnail_size
from mmagg.visualization.canvas import MARGIN, Canvas

GREY = np.full((30, 60, 3), 100, np.uint8)
WHOLE = Frame((32, 64), (32, 64))


def outlined(picture: np.ndarray) -> np.ndarray:
    """Where the outline of a cell is."""
    return (picture == CELL).all(axis=-1)


def bordered(picture: np.ndarray) -> np.ndarray:
    """Where the outline and its black lines are."""
    return outlined(picture) | (picture == 0).all(axis=-1)


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
        (logit_bar(3.0), logit_heat_map(picture, np.linspace(-3, 3, BAR[1])[None], 3.0)),
        (prob_bar(), prob_heat_map(picture, np.linspace(0, 1, BAR[1])[None])),
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


def test_a_sheet_has_its_pictures_and_texts() -> None:
    canvas = Canvas(113, 231)
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    canvas.paste(picture, left=201, top=93)
    canvas.write('cost $5 to $6', x=100, y=50)
    sheet = canvas.picture()
    assert sheet.shape == (113, 231, 3)
    assert (sheet[93:, 201:] == picture).all()
    assert (sheet[40:60, 55:145] < 100).any()
    sheet[93:, 201:], sheet[40:60, 50:150] = 255, 255
    assert (sheet == 255).all()


@pytest.mark.parametrize('width', [100, 500])
def test_panels_stand_in_rows_under_titles(width: int) -> None:
    pictures = [np.full((50, width, 3), 10 * i, np.uint8) for i in range(6)]
    strip = np.full((*BAR, 3), 7, np.uint8)
    rows = [
        [Panel(pictures[3 * row + i], 'below' if i == 0 else Scale(strip, ('0', '1'))) for i in range(3)]
        for row in range(2)
    ]
    sheet = panel_sheet('heading', ['a', 'b', 'c'], rows)
    column, top = max(width, COLUMN_WIDTH), MARGIN + HEADING + TITLE
    assert sheet.shape == (top + 2 * (50 + BELOW), 2 * MARGIN + 3 * column + 2 * COLUMN_GAP, 3)
    for i in range(6):
        y = top + i // 3 * (50 + BELOW)
        x = MARGIN + i % 3 * (column + COLUMN_GAP) + (column - width) // 2
        assert (sheet[y : y + 50, x : x + width] == 10 * i).all()
        below = sheet[y + 50 : y + 50 + BELOW, x : x + width]
        assert (below < 128).any()
        assert ((below == 7).all(-1).sum() >= BAR[1]) == (i % 3 > 0)
    assert (sheet[top - TITLE : top] < 100).any()
    assert (sheet[:HEADING] < 100).any()


@pytest.mark.parametrize('grid', [1, 12, 40, 80])
@pytest.mark.parametrize('image_size', [(480, 640), (640, 480), (30, 40)])
def test_sheets_are_not_too_wide(grid: int, image_size: tuple[int, int]) -> None:
    size = thumbnail_size(grid, image_size)
    assert size[1] == THUMBNAIL_WIDTH or grid > 12
    assert size[0] / size[1] == pytest.approx(image_size[0] / image_size[1], rel=0.05)
    if image_size == (30, 40):
        sheet = thumbnail_sheet('x', np.zeros((*image_size, 3), np.uint8), np.zeros((grid**2, *size), np.float32))
        assert sheet.shape[1] <= 3000


def test_thumbnails_stand_where_their_cells_are() -> None:
    probs = np.linspace(0, 1, 9, dtype=np.float32)[:, None, None].repeat(20, 1).repeat(30, 2)
    image = np.full((40, 60, 3), (10, 20, 30), np.uint8)
    sheet = thumbnail_sheet('heading', image, probs)
    brightness = []
    for row in range(3):
        for column in range(3):
            y, x = MARGIN + HEADING + TICKS + row * 21, sheet.shape[1] - MARGIN - (3 - column) * 31
            tile = sheet[y : y + 20, x : x + 30]
            assert (tile == tile[0, 0]).all()
            brightness.append(int(tile[0, 0].astype(int).sum()))
    assert brightness == sorted(set(brightness))
    shown = sheet[MARGIN + HEADING + TICKS :, MARGIN : MARGIN + IMAGE_WIDTH]
    assert (shown[: 40 * IMAGE_WIDTH // 60] == (10, 20, 30)).all()
