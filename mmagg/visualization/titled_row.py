"""Pictures side by side, each below its title and its legend. Pictures are uint8 BGR, sizes are pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmagg.visualization.fonts import readable
from mmagg.visualization.text import Colour, text_opacity, write_text

GAP, HEADER, INDENT = 6, 50, 4  # between pictures, above them, left of words
TITLE, WORDS = 15, 12  # sizes of fonts
SWATCH, SPACE = 10, 12  # side of a colour in the legend; between its entries


class Titled(NamedTuple):
    """A picture, (H, W, 3), its title, and its legend: colours and what they mean."""

    picture: np.ndarray
    title: str
    legend: Sequence[tuple[Colour, str]]


def titled_row(panels: Sequence[Titled]) -> np.ndarray:
    """The row, (height, width, 3), of at least one picture, in columns as wide as legends need.

    Titles that are too long lose their beginning.
    """
    widths = [max(panel.picture.shape[1], _legend_width(panel.legend)) for panel in panels]
    height = max(panel.picture.shape[0] for panel in panels)
    row = np.full((HEADER + height, sum(widths) + GAP * (len(panels) - 1), 3), 255, np.uint8)
    left = 0
    for (picture, title, legend), width in zip(panels, widths, strict=True):
        column = row[:, left : left + width]
        write_text(column, _fitting(readable(title), width - INDENT), x=INDENT, y=3, size=TITLE)
        x = INDENT
        for colour, words in legend:
            column[31 : 31 + SWATCH, x : x + SWATCH] = colour
            x = write_text(column, words, x=x + SWATCH + 4, y=28, size=WORDS) + SPACE
        column[HEADER : HEADER + picture.shape[0], : picture.shape[1]] = picture
        left += width + GAP
    return row


def _legend_width(legend: Sequence[tuple[Colour, str]]) -> int:
    return INDENT + sum(SWATCH + 4 + text_opacity(words, WORDS).shape[1] + SPACE for _, words in legend)


def _fitting(title: str, width: int) -> str:
    """The end of a title that fits into a width."""
    start = 0
    while start < len(title) and text_opacity(_from(title, start), TITLE).shape[1] > width:
        start += 1
    return _from(title, start)


def _from(title: str, start: int) -> str:
    return f'…{title[start:]}' if start else title
