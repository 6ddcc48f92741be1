"""Panels of masks at and around grid cells (AggMask, Fig. 5).

Pictures are uint8 BGR, sizes are pixels.

Shape shorthand: K masks of a panel, (H, W) size of the picture of the image.
"""

from collections.abc import Callable

import cv2
import numpy as np

from mmagg.inside.representations import Surroundings
from mmagg.ops.grid_neighbours import arrangement
from mmagg.visualization.heat_map import (
    Frame,
    fit,
    logit_heat_map,
    logit_limit,
    logit_scale,
    outline_cell,
    prob_heat_map,
    prob_scale,
)
from mmagg.visualization.panel_sheet import TILE_GAP, Panel


def logits_panel(picture: np.ndarray, around: Surroundings, frame: Frame) -> Panel:
    """K > 0 maps of logits as heat maps with one colour scale, each at its place in the grid, with its cell.

    Args:
        picture: (H, W, 3), the image.
        around: the logits.
        frame: the place of the image in the network's input.
    """
    limit = logit_limit(around.maps)
    tiles = _tiles(picture, around, frame, lambda small, logits: logit_heat_map(small, logits, limit))
    return Panel(tiles, logit_scale(limit))


def probs_panel(picture: np.ndarray, around: Surroundings, frame: Frame) -> Panel:
    """`logits_panel` for maps of probabilities."""
    return Panel(_tiles(picture, around, frame, prob_heat_map), prob_scale())


def _tiles(
    picture: np.ndarray,
    around: Surroundings,
    frame: Frame,
    heat_map: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """The heat maps in one picture (H, W, 3); white where the arrangement has no mask."""
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
