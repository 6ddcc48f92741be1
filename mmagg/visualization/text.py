"""Text on pictures. Pictures are uint8 BGR, sizes are pixels."""

from functools import lru_cache

import numpy as np
from PIL import ImageFont

from mmagg.visualization.fonts import default_font, font_of

Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@lru_cache(maxsize=256)  # some are large: a long name is a tenth of a megabyte in a picture of 24 megapixels
def text_opacity(text: str, size: int) -> np.ndarray:
    """The pixels of a line of text, (height, width) in [0, 1], not to be changed; the height is the size's.

    Args:
        text: as of `readable`; breaks become spaces.
        size: of the font.
    """
    text = ' '.join(text.splitlines())
    ascent, descent = _font(default_font(), size).getmetrics()
    mask, (left, top) = _font(font_of(text) or default_font(), size).getmask2(text, 'L', anchor='ls')
    ink = np.array(mask, np.float32).reshape(mask.size[::-1]) / 255
    canvas = np.zeros((ascent + descent, max(1, left + ink.shape[1])), np.float32)
    # Letters of other fonts may be higher than the line.
    first, left = ascent + top, max(0, left)
    ink = ink[max(0, -first) : len(canvas) - first]
    canvas[max(0, first) : max(0, first) + len(ink), left : left + ink.shape[1]] = ink[:, : canvas.shape[1] - left]
    return canvas


def write_text(picture: np.ndarray, text: str, *, x: int, y: int, size: int, colour: Colour = BLACK) -> int:
    """Write a line with its upper left corner at (x, y), in place, cut off at the picture's right and lower edge.

    Returns:
        x behind it.
    """
    opacity = text_opacity(text, size)
    under = picture[y : y + opacity.shape[0], x : x + opacity.shape[1]]
    blend(under, colour, opacity[: under.shape[0], : under.shape[1], None])
    return x + opacity.shape[1]


def blend(under: np.ndarray, colour: Colour | np.ndarray, opacity: np.ndarray | float) -> None:
    """Lay a colour over pixels (h, w, 3), in place, where opacity (h, w, 1) is more than 0."""
    under[:] = (under + opacity * (np.array(colour, np.float32) - under)).round().astype(np.uint8)


def ink_on(colour: Colour | np.ndarray) -> Colour:
    """Black or white, whichever is read better on a colour."""
    return BLACK if np.dot((0.114, 0.587, 0.299), colour) > 130 else WHITE


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
