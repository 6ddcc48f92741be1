"""Maps of all cells of a grid, each at its cell's place (as SOLO, Fig. 4). Pictures are uint8 BGR, sizes are pixels.

Shape shorthand: S side of the grid, (h, w) thumbnail size, (H, W) image size.
"""

import cv2
import numpy as np

from mmagg.visualization.canvas import HEADING_SIZE, MARGIN, Canvas, Scale
from mmagg.visualization.heat_map import BAR, prob_colours

SHEET_WIDTH, IMAGE_WIDTH, THUMBNAIL_WIDTH = 3000, 400, 120  # at most
HEADING, TICKS, GAP, LINE = 38, 34, 1, 40  # heading; numbers of rows and columns; between thumbnails; a line of text


def thumbnail_size(grid: int, image_size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of S × S thumbnails of an image of size (H, W), for a sheet that is not too wide."""
    room = SHEET_WIDTH - 2 * MARGIN - IMAGE_WIDTH - TICKS
    width = min(THUMBNAIL_WIDTH, room // grid - GAP)
    return max(1, round(width * image_size[0] / image_size[1])), width


def thumbnail_sheet(heading: str, image: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """The sheet, (height, width, 3), of an image (H, W, 3) beside its thumbnails.

    ``probs`` are (S², h, w) in [0, 1], row by row, with (h, w) as of `thumbnail_size`.
    """
    grid = round(len(probs) ** 0.5)
    height, width = (length + GAP for length in probs.shape[1:])
    shrunk = IMAGE_WIDTH / image.shape[1]
    how = cv2.INTER_AREA if shrunk < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, None, fx=shrunk, fy=shrunk, interpolation=how)
    top, left = MARGIN + HEADING + TICKS, MARGIN + IMAGE_WIDTH + TICKS
    canvas = Canvas(top + max(grid * height, image.shape[0] + LINE) + MARGIN, left + grid * width + MARGIN)
    canvas.write(heading, x=MARGIN, y=MARGIN + HEADING / 2 - 4, size=HEADING_SIZE, align='left')
    canvas.paste(image, left=MARGIN, top=top)
    strip = prob_colours(np.linspace(0, 1, BAR[1])[None].repeat(BAR[0], 0))
    canvas.scale(Scale(strip, ('0', '1')), x=MARGIN + IMAGE_WIDTH / 2, y=top + image.shape[0] + LINE / 2)
    for index, thumbnail in enumerate(prob_colours(probs)):
        row, column = divmod(index, grid)
        canvas.paste(thumbnail, left=left + column * width, top=top + row * height)
    for index in range(grid):
        canvas.write(str(index), x=left + (index + 0.5) * width, y=top - 10)
        canvas.write(str(index), x=left - 6, y=top + (index + 0.5) * height, align='right')
    return canvas.picture()
