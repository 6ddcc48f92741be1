"""Panels of masks at and around cells, and the sheet that they stand on (AggMask, Fig. 5).

Pictures are uint8 BGR, sizes are pixels.

Shape shorthand: K masks of a panel, (H, W) size of the picture of the image.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmagg.inside.heat_map import (
    Frame,
    fit,
    logit_bar,
    logit_heat_map,
    logit_limit,
    outline_cell,
    prob_bar,
    prob_heat_map,
)
from mmagg.inside.representations import Surroundings
from mmagg.ops.grid_neighbours import arrangement
from mmagg.visualization.canvas import HEADING_SIZE, MARGIN, TITLE_SIZE, Canvas

TILE_GAP, COLUMN_GAP = 4, 24
COLUMN_WIDTH = 420  # at least: texts have to fit
HEADING, TITLE, BELOW = 38, 34, 46  # heights of the sheet's heading, of the titles, of what is below a panel


class Scale(NamedTuple):
    """What the colours of a panel mean."""

    strip: np.ndarray
    ends: tuple[str, str]


class Panel(NamedTuple):
    """A picture and what is shown below it."""

    picture: np.ndarray
    below: str | Scale


def logits_panel(picture: np.ndarray, around: Surroundings, frame: Frame) -> Panel:
    """Logits as heat maps with one colour scale, each where it stands in the grid, with its cell.

    Args:
        picture: (H, W, 3), the image.
        around: K > 0 logits.
        frame: where the image lies in the input of the network that they come from.
    """
    limit = logit_limit(around.maps)
    tiles = _tiles(picture, around, frame, lambda small, logits: logit_heat_map(small, logits, limit))
    return Panel(tiles, Scale(logit_bar(limit), (f'≤ −{limit:.3g}', f'≥ {limit:.3g}')))


def probs_panel(picture: np.ndarray, around: Surroundings, frame: Frame) -> Panel:
    """The same for probabilities."""
    return Panel(_tiles(picture, around, frame, prob_heat_map), Scale(prob_bar(), ('0', '1')))


def _tiles(
    picture: np.ndarray,
    around: Surroundings,
    frame: Frame,
    heat_map: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """A picture of the given one's size; white where the arrangement has no mask."""
    places = arrangement(around.pattern)
    side = 1 + max(max(place) for place in places)
    height, width = ((length - (side - 1) * TILE_GAP) // side for length in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    panel = np.full_like(picture, 255)
    maps = fit(around.maps, frame, (height, width))
    for values, cell, (row, column) in zip(maps, around.cells.tolist(), places, strict=True):
        tile = heat_map(small, values)
        outline_cell(tile, cell, around.grid, frame)
        top, left = row * (height + TILE_GAP), column * (width + TILE_GAP)
        panel[top : top + height, left : left + width] = tile
    return panel


def panel_sheet(heading: str, titles: Sequence[str], rows: Sequence[Sequence[Panel]]) -> np.ndarray:
    """Rows of panels under column titles.

    Args:
        heading: of the sheet.
        titles: of the columns.
        rows: at least one; each has a panel per column, all of one size.

    Returns:
        The sheet, (height, width, 3).
    """
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
                canvas.scale(below.strip, below.ends, **at)
            else:
                canvas.write(below, **at)
    return canvas.picture()
