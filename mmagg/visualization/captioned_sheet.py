"""Pictures with a few words below each, in rows. Pictures are uint8 BGR, sizes are pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmagg.visualization.canvas import HEADING_SIZE, MARGIN, Canvas

GAP, LINE, HEADING = 14, 19, 38  # between pictures; a line of text; the heading
LETTER, WORDS = 8.5, 330  # width of a letter on average, of a column at least


class Captioned(NamedTuple):
    """A picture, (H, W, 3), and the lines below it."""

    picture: np.ndarray
    lines: Sequence[str]


def captioned_sheet(heading: str, rows: Sequence[Sequence[Captioned]]) -> np.ndarray:
    """The sheet, (height, width, 3), of rows of pictures, each with its caption, in columns as wide as the widest one.

    There must be at least one picture. Lines that are too long lose their beginning.
    """
    heights = [
        max(cell.picture.shape[0] for cell in row) + max(len(cell.lines) for cell in row) * LINE + GAP for row in rows
    ]
    columns, width = max(map(len, rows)), max(WORDS, *(cell.picture.shape[1] for row in rows for cell in row))
    canvas = Canvas(MARGIN + HEADING + sum(heights), 2 * MARGIN + columns * (width + GAP) - GAP)
    canvas.write(heading, x=MARGIN, y=MARGIN + HEADING / 2 - 6, size=HEADING_SIZE, align='left')
    top = MARGIN + HEADING
    for row, height in zip(rows, heights, strict=True):
        tallest = max(cell.picture.shape[0] for cell in row)
        for column, (picture, lines) in enumerate(row):
            middle = MARGIN + column * (width + GAP) + width / 2
            canvas.paste(picture, left=middle - picture.shape[1] / 2, top=top + tallest - picture.shape[0])
            for i, line in enumerate(lines):
                canvas.write(_ending(line, int(width / LETTER)), x=middle, y=top + tallest + (i + 0.6) * LINE)
        top += height
    return canvas.picture()


def _ending(text: str, letters: int) -> str:
    return text if len(text) <= letters else f'…{text[1 - letters :]}'
