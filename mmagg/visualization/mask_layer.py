"""A mask laid over a picture: a translucent fill with a contour. Only the mask's own window is touched.

Shape shorthand: (H, W) size of the picture, (h, w) size of the window.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mmagg.rle.codes import decode_window, mask_box

if TYPE_CHECKING:
    from torch import Tensor

FILL = 0.45  # opacity of a mask
LONG = 200_000  # a contour's pixels times its thickness, above which it is drawn otherwise
BAND = 2**18  # pixels blended at once, which stay in the processor's cache
NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))  # of a pixel, itself included


def lay_mask(picture: np.ndarray, mask: 'Tensor | np.ndarray | dict', colour: np.ndarray, *, thickness: int) -> None:
    """Blend a mask into a picture in place, and draw its contour.

    The contour is a smooth line along the mask's outermost pixels. One that is too `LONG` for that, as of the masks of
    an untrained model, is those pixels themselves, thickened: a line with hard edges, which lie within two pixels.

    Args:
        picture: (H, W, 3) uint8.
        mask: (H, W) bool, or RLE.
        colour: (3,) uint8.
        thickness: of the contour, in pixels.
    """
    x, y, w, h = mask_box(mask)
    if w == 0 or h == 0:
        return
    reach = 0 if thickness == 1 else (thickness + 1) // 2  # of the line beyond the mask
    left, top, (height, width) = max(0, x - reach), max(0, y - reach), picture.shape[:2]
    window = left, top, min(width, x + w + reach) - left, min(height, y + h + reach) - top
    inside = decode_window(mask, window)
    around = picture[top : top + window[3], left : left + window[2]]
    blend_inside(around, inside, colour, FILL)
    edge = rim(inside)
    if cv2.countNonZero(edge) * thickness <= LONG:
        del edge  # few large arrays at once: the memory of more is given back after each mask and fetched for the next
        contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
        cv2.drawContours(picture, contours, -1, colour.tolist(), thickness, cv2.LINE_AA)
    else:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        del inside
        blend_inside(around, cv2.dilate(edge, disc), colour, 1)


def rim(inside: np.ndarray) -> np.ndarray:
    """The pixels of a mask (h, w), uint8 of 0 and 1, with a neighbour outside of it or of the window, likewise."""
    core = cv2.erode(inside, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.subtract(inside, core, dst=core)


def blend_inside(picture: np.ndarray, inside: np.ndarray, colour: Sequence[int] | np.ndarray, opacity: float) -> None:
    """Lay a colour over the pixels of a picture that a mask has, in place; halves are rounded up.

    Args:
        picture: (h, w, 3) uint8, also a window of a larger one.
        inside: (h, w) uint8 of 0 and 1.
        colour: of the picture's three channels.
        opacity: from 0 to 1, a multiple of 0.05.
    """
    rows = min(len(picture), max(1, BAND // picture.shape[1]))
    plain = np.empty((rows, *picture.shape[1:]), np.uint8)
    plain[:] = colour
    blended = np.empty_like(plain)  # made once: fresh memory for each band takes longer than what is done with it
    for top in range(0, len(picture), rows):
        band, within = picture[top : top + rows], inside[top : top + rows]
        laid = plain[: len(band)]
        if opacity < 1:
            # OpenCV's float32 is too coarse to tell a half; the last term is less than half a step of the sums, 0.05.
            laid = cv2.addWeighted(band, 1 - opacity, laid, opacity, 0.01, dst=blended[: len(band)])
        cv2.copyTo(laid, within, band)
