"""Rows of panels under column titles, each with a line or a colour scale below it.

Pictures are uint8 BGR, sizes are pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmagg.visualization.canvas import HEADING_SIZE, MARGIN, TITLE_SIZE, Canvas, Scale

TILE_GAP, COLUMN_GAP = 4, 24  # within a panel, between columns
COLUMN_WIDTH = 420  # at least: texts have to fit
HEADING, TITLE, BELOW = 38, 34, 46  # heights of the sheet's heading, of the titles, of the line below a panel


class Panel(NamedTuple):
    """A picture, and the line or the colour scale below it."""

    picture: np.ndarray
    below: str | Scale


def panel_sheet(heading: str, titles: Sequence[str], rows: Sequence[Sequence[Panel]]) -> np.ndarray:
    """The sheet, (height, width, 3), of at least one row of panels, all of one size, under the columns' titles."""
    height, width = rows[0][0].picture.shape[:2]
    pitch = max(width, COLUMN_WIDTH) + COLUMN_GAP
    top = MARGIN + HEADING + TITLE
    canvas = Canvas(top + len(rows) * (height + BELOW), 2 * MARGIN + len(titles) * pitch - COLUMN_GAP)
    canvas.write(heading, x=MARGIN, y=MARGIN + HEADING / 2 - 4, size=HEADING_SIZE, align='left')
    for column, title in enumerate(titles):
        middle = MARGIN + column * pitch + (pitch - COLUMN_GAP) / 2
        canvas.write(title, x=middle, y=top - TITLE / 2, size=TITLE_SIZE)
        for row, panels in enumerate(rows):
            picture, below = panels[column]
            upper = top + row * (height + BELOW)
            canvas.paste(picture, left=middle - width / 2, top=upper)
            at = dict(x=middle, y=upper + height + BELOW / 2 - 5)
            if isinstance(below, Scale):
                canvas.scale(below, **at)
            else:
                canvas.write(below, **at)
    return canvas.picture()
