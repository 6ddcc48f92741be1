"""The thumbnails of a grid's cells beside their image."""

import numpy as np
import pytest

from mmagg.visualization.canvas import MARGIN
from mmagg.visualization.thumbnail_sheet import (
    HEADING,
    IMAGE_WIDTH,
    THUMBNAIL_WIDTH,
    TICKS,
    thumbnail_sheet,
    thumbnail_size,
)


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
