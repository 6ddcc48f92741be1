"""Many small pictures on one sheet, in pairs that are to be compared.

Shape shorthand: N instances, (H, W) image size, k an integer factor.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mmagg.visualization.text import text_opacity, write_text

GAP, PAIR_GAP, HEADER = 4, 20, 34  # pixels: within a pair, between pairs, above the first row
TITLE = 18  # size of the font
WHITE = 255


def enlarge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Masks (..., H, W) with each pixel as k × k pixels: (..., kH, kW)."""
    return pixels.repeat(factor, axis=-2).repeat(factor, axis=-1)


def enlarge_image(image: np.ndarray, factor: int) -> np.ndarray:
    """An image (H, W, 3) uint8, enlarged smoothly to (kH, kW, 3)."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def paired_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]], titles: tuple[str, str], columns: int) -> np.ndarray:
    """Pairs of pictures side by side, row by row, under two titles that repeat over every pair.

    Args:
        pairs: at least one; each two (H, W, 3) uint8 BGR pictures. Smaller ones are centred in their cell.
        titles: of the left and the right picture of every pair.
        columns: pairs in a row.

    Returns:
        The sheet, (h, w, 3) uint8 BGR, white where there is no picture.
    """
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    height = max(picture.shape[0] for pair in pairs for picture in pair)
    width = max(picture.shape[1] for pair in pairs for picture in pair)
    pair_width = 2 * width + GAP + PAIR_GAP
    sheet = np.full((HEADER + rows * (height + GAP), columns * pair_width - PAIR_GAP, 3), WHITE, np.uint8)
    for index, pair in enumerate(pairs):
        row, column = divmod(index, columns)
        for side, picture in enumerate(pair):
            left = column * pair_width + side * (width + GAP)
            h, w = picture.shape[:2]
            y, x = HEADER + row * (height + GAP) + (height - h) // 2, left + (width - w) // 2
            sheet[y : y + h, x : x + w] = picture
            if row == 0:
                _title(sheet, titles[side], left, width)
    return sheet


def _title(sheet: np.ndarray, text: str, left: int, width: int) -> None:
    """Black text centred in the header above a column."""
    height, text_width = text_opacity(text, TITLE).shape
    write_text(sheet, text, x=max(0, left + (width - text_width) // 2), y=(HEADER - height) // 2, size=TITLE)
