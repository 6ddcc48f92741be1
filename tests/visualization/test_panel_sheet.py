"""Panels in rows under titles."""

import numpy as np
import pytest

from mmagg.visualization.canvas import MARGIN, Scale
from mmagg.visualization.heat_map import BAR
from mmagg.visualization.panel_sheet import BELOW, COLUMN_GAP, COLUMN_WIDTH, HEADING, TITLE, Panel, panel_sheet


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
