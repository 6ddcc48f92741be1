"""Maps of logits and of probabilities, drawn as heat maps over the dimmed image. Pictures are uint8 BGR.

Shape shorthand: N maps, (h, w) map size, (H, W) size of the picture.
"""

from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mmagg.visualization.canvas import Scale

DIM = 0.5  # brightness of the image below a heat map
OPACITY = 0.85  # of a heat map at its most extreme values
LOGITS, PROBS = (
    (255 * matplotlib.colormaps[name](np.arange(256))[:, 2::-1]).round().astype(np.uint8)
    for name in ('RdBu_r', 'inferno')
)
CELL = (160, 255, 160)  # BGR of a cell's outline, between black lines
BAR = (10, 200)  # height and width of a colour bar


class Frame(NamedTuple):
    """The place of an image in the area that maps span: at the top left, with padding beside and below it."""

    padded: tuple[int, int]
    """(height, width) with the padding."""
    image: tuple[int, int]
    """(height, width) of the image in it."""


def fit(maps: Tensor, frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) over an image with its padding -> (N, H, W) float32 over the image alone, of ``size`` (H, W)."""
    full = [round(whole * side / part) for whole, part, side in zip(*frame, size, strict=True)]
    resized = F.interpolate(maps[None].float(), size=full, mode='bilinear', antialias=True)
    return resized[0, :, : size[0], : size[1]].cpu().numpy()


def logit_limit(logits: Tensor) -> float:
    """Half the range of a colour scale around 0 for logits of any shape.

    It follows the positive logits: most of a mask is background, whose logits are large. Negative ones may be clipped,
    to a quarter of their range at most.
    """
    high = np.percentile(logits.float().clamp(min=0).cpu(), 99.5)
    return max(float(high), float(logits.abs().max()) / 4, 1e-6)


def logit_heat_map(picture: np.ndarray, logits: np.ndarray, limit: float) -> np.ndarray:
    """Logits (H, W) over the dimmed image (H, W, 3): red is inside, blue is outside; transparent at 0.

    Colours end at the logits -limit and limit, see `logit_limit`.
    """
    share = np.clip(logits / limit, -1, 1)
    return _blend(picture, _colours(LOGITS, (share + 1) / 2), np.abs(share))


def prob_heat_map(picture: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Probabilities (H, W) over the dimmed image (H, W, 3); transparent at 0."""
    return _blend(picture, prob_colours(probs), probs)


def prob_colours(probs: np.ndarray) -> np.ndarray:
    """The colours of probabilities: (..., h, w) in [0, 1] -> (..., h, w, 3) uint8."""
    return _colours(PROBS, probs)


def logit_scale(limit: float) -> Scale:
    """The colours of `logit_heat_map` from -limit to limit."""
    strip = logit_heat_map(np.full((*BAR, 3), 128, np.uint8), np.linspace(-limit, limit, BAR[1])[None], limit)
    return Scale(strip, (f'≤ −{limit:.3g}', f'≥ {limit:.3g}'))


def prob_scale() -> Scale:
    """The colours of `prob_heat_map` from 0 to 1."""
    strip = prob_heat_map(np.full((*BAR, 3), 128, np.uint8), np.linspace(0, 1, BAR[1])[None].repeat(BAR[0], 0))
    return Scale(strip, ('0', '1'))


def outline_cell(picture: np.ndarray, cell: int, grid: int, frame: Frame) -> None:
    """Draw the border of a grid cell into a picture (H, W, 3) of the image, in place.

    Args:
        picture: of the image without its padding.
        cell: row-major index.
        grid: side of the grid, which spans the image and its padding.
        frame: the place of the image in the grid.
    """
    step = np.divide(frame.padded, frame.image) * picture.shape[:2] / grid
    place = np.array(divmod(cell, grid))
    corners = np.stack([place * step, np.maximum((place + 1) * step - 1, place * step)]).round().astype(int)
    for colour, thickness in (((0, 0, 0), 3), (CELL, 1)):  # seen on any ground
        cv2.rectangle(picture, corners[0, ::-1].tolist(), corners[1, ::-1].tolist(), colour, thickness)


def _colours(colours: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] -> their colours out of (256, 3)."""
    return colours[(255 * values).round().astype(np.uint8)]


def _blend(picture: np.ndarray, colours: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Lay colours over the picture in dark grey; strength 0 shows the picture alone, 1 almost only the colours."""
    background = DIM * cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
    opacity = OPACITY * strength[..., None]
    return ((1 - opacity) * background + opacity * colours).round().astype(np.uint8)
