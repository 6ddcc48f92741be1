"""Panels of bases, attention and masks (BlendMask, Fig. 1 and 3). Pictures are uint8 BGR, sizes are pixels.

Shape shorthand: K bases, M attention size, R mask size, (H, W) size of the panel, (h, w) size of a tile.
"""

from collections.abc import Sequence
from math import ceil, isqrt

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from torch import Tensor

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

THINNEST = 1 / 8  # of a tile, which is stretched if it would be thinner
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def image_panel(picture: np.ndarray, below: str, room: tuple[int, int]) -> Panel:
    """A picture in the middle of an (H, W) panel."""
    return Panel(_tiled([picture], room), below)


def bases_panel(image: np.ndarray, bases: Tensor, frame: Frame, room: tuple[int, int]) -> Panel:
    """Bases, (K, height, width) logits over the network's input, as heat maps over an image of any size."""
    size = tile_size(image.shape[:2], len(bases), room)
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return _logits(small, fit(bases, frame, size), logit_limit(bases), room)


def pooled_panel(crop: np.ndarray, pooled: Tensor, limit: float, grid: int | None, room: tuple[int, int]) -> Panel:
    """Bases pooled in a box, (K, R, R) logits, over its crop (h, w, 3); colours end at the logit ``limit``.

    In a mask that takes cell k of a ``grid`` × ``grid`` from base k, these cells are outlined; None: there is no grid.
    """
    return _logits(crop, fit(pooled, _whole(pooled), crop.shape[:2]), limit, room, grid)


def attention_panel(crop: np.ndarray, attention: Tensor, room: tuple[int, int]) -> Panel:
    """Weights (K, M, M) in [0, 1] of the bases in a box, over its crop (h, w, 3)."""
    maps = F.interpolate(attention[None], size=crop.shape[:2], mode='nearest-exact')[0].numpy()
    return _probs(crop, maps, room)


def prob_panel(crop: np.ndarray, probs: Tensor, room: tuple[int, int]) -> Panel:
    """The probabilities (R, R) of a mask in a box, over its crop (h, w, 3)."""
    return _probs(crop, fit(probs[None], _whole(probs), crop.shape[:2]), room)


def cropped(image: np.ndarray, box: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """A box x1, y1, x2, y2 (pixels) cut out of an image and resized to (h, w); black outside of the image."""
    left, top = (max(0, int(side)) for side in box[:2])
    window = image[top : ceil(box[3]) + 1, left : ceil(box[2]) + 1].astype(np.float32)
    pixels = torch.from_numpy(window).permute(2, 0, 1)[None].contiguous()
    roi = torch.tensor([[0, box[0] - left, box[1] - top, box[2] - left, box[3] - top]], dtype=torch.float)
    pooled = roi_align(pixels, roi, size, 1.0, 0, 'avg', True)
    return pooled[0].permute(1, 2, 0).round().byte().numpy()


def tile_size(shape: tuple[float, float], number: int, room: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of equal tiles that have the proportions of `shape` and fit into a panel of (H, W)."""
    cell = np.array(
        [(side - (count - 1) * TILE_GAP) // count for side, count in zip(room, _arrangement(number), strict=True)]
    )
    size = np.round(np.multiply(shape, (cell / shape).min())).astype(int)
    return tuple(np.clip(size, ceil(THINNEST * cell.min()), cell).tolist())


def _arrangement(number: int) -> tuple[int, int]:
    """Rows and columns for some tiles, as nearly square as possible."""
    columns = isqrt(number - 1) + 1
    return ceil(number / columns), columns


def _whole(maps: Tensor) -> Frame:
    """The frame of maps without padding."""
    size = (maps.shape[-2], maps.shape[-1])
    return Frame(size, size)


def _logits(
    background: np.ndarray, maps: np.ndarray, limit: float, room: tuple[int, int], grid: int | None = None
) -> Panel:
    tiles = _numbered([logit_heat_map(background, logits, limit) for logits in maps])
    if grid is not None:
        for cell, tile in enumerate(tiles):
            outline_cell(tile, cell, grid, Frame((grid, grid), (grid, grid)))
    return Panel(_tiled(tiles, room), logit_scale(limit))


def _probs(background: np.ndarray, maps: np.ndarray, room: tuple[int, int]) -> Panel:
    tiles = _numbered([prob_heat_map(background, probs) for probs in maps])
    return Panel(_tiled(tiles, room), prob_scale())


def _tiled(tiles: Sequence[np.ndarray], room: tuple[int, int]) -> np.ndarray:
    """Equal tiles row by row, together in the middle of a white panel."""
    (height, width), (rows, columns) = tiles[0].shape[:2], _arrangement(len(tiles))
    top = (room[0] - rows * (height + TILE_GAP) + TILE_GAP) // 2
    left = (room[1] - columns * (width + TILE_GAP) + TILE_GAP) // 2
    panel = np.full((*room, 3), WHITE, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        y, x = top + row * (height + TILE_GAP), left + column * (width + TILE_GAP)
        panel[y : y + height, x : x + width] = tile
    return panel


def _numbered(tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Number tiles from 1 in their upper left corners, in place, unless there is only one."""
    font, scale, pad = cv2.FONT_HERSHEY_SIMPLEX, 0.38, 3
    for index, tile in enumerate(tiles if len(tiles) > 1 else ()):
        text = str(index + 1)
        (width, height), _ = cv2.getTextSize(text, font, scale, 1)
        tile[: height + 2 * pad, : width + 2 * pad] = BLACK
        cv2.putText(tile, text, (pad, height + pad), font, scale, WHITE, 1, cv2.LINE_AA)
    return tiles
