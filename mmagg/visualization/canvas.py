"""A sheet of pixels for pictures and texts. Pictures are uint8 BGR, sizes are pixels."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmagg.visualization.fonts import readable

DPI = 100
HEADING_SIZE, TITLE_SIZE, TEXT_SIZE = 14, 12, 10  # points
MARGIN = 16  # around a sheet


class Scale(NamedTuple):
    """A colour bar, (height, width, 3), and the texts at its ends."""

    strip: np.ndarray
    ends: tuple[str, str]


class Canvas:
    """A white sheet of height x width pixels."""

    def __init__(self, height: int, width: int) -> None:
        self._pixels = np.full((height, width, 3), 255, np.uint8)
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def paste(self, picture: np.ndarray, *, left: float, top: float) -> None:
        """Put a (H, W, 3) picture on the sheet."""
        left, top = round(left), round(top)
        self._pixels[top : top + picture.shape[0], left : left + picture.shape[1]] = picture

    def write(self, text: str, *, x: float, y: float, size: int = TEXT_SIZE, align: str = 'center') -> None:
        """Write a line, see `readable`; its middle is at height `y`, and its left, center or right at `x`."""
        text = text.encode('utf-8', 'backslashreplace').decode()  # matplotlib refuses names of files that are not UTF-8
        self._texts.append((x, y, readable(text), dict(fontsize=size, ha=align)))

    def scale(self, scale: Scale, *, x: float, y: float) -> None:
        """Draw a colour bar around a point, with its texts beside it."""
        height, width = scale.strip.shape[:2]
        self.paste(scale.strip, left=x - width / 2, top=y - height / 2)
        for text, side, align in zip(scale.ends, (-1, 1), ('right', 'left'), strict=True):
            self.write(text, x=x + side * (width / 2 + 8), y=y, align=align)

    def picture(self) -> np.ndarray:
        """The sheet as (height, width, 3) uint8 BGR."""
        height, width = self._pixels.shape[:2]
        # matplotlib cuts off fractions of a pixel, also those that a division leaves.
        figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
        figure.figimage(self._pixels[..., ::-1])
        for x, y, text, style in self._texts:
            # Dollars in a file's name are no formula.
            figure.text(x / width, 1 - y / height, text, va='center', parse_math=False, **style)
        agg = FigureCanvasAgg(figure)
        agg.draw()
        return np.asarray(agg.buffer_rgba())[..., 2::-1].copy()
