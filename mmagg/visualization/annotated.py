"""An image drawn with its annotations: objects in colour, ignored regions hatched in grey.

Shape shorthand: N objects, M ignored regions, (H, W) image size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mmagg.visualization.mask_layer import blend_inside, rim
from mmagg.visualization.overlay import draw_instances

GREY, PALE = 96, 224  # of the hatching
STRIPE = 5  # pixels
LARGER = 3


class Annotated(NamedTuple):
    """An image and its annotations.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        labels: (N,) class indices.
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        masks: (N, H, W) bool; None where only boxes are known.
        ignored: (M, H, W) bool, crowds and other regions that training and evaluation leave out.
    """

    image: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray | None
    ignored: np.ndarray

    def fitted(self, height: int, width: int) -> 'Annotated':
        """The same in its proportions, as large as fits into height x width pixels, and at most `LARGER` times."""
        old = np.array(self.image.shape[:2])
        factor = min(LARGER, height / old[0], width / old[1])
        new = np.maximum(1, np.round(old * factor).astype(int))
        rows, columns = (np.arange(n) * before // n for n, before in zip(new, old, strict=True))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(self.image, new[::-1].tolist(), interpolation=how)
        place = slice(None), rows[:, None], columns
        masks = None if self.masks is None else self.masks[place]
        return Annotated(image, self.labels, self.boxes * factor, masks, self.ignored[place])

    def drawn(self, classes: Sequence[str]) -> np.ndarray:
        """The picture, (H, W, 3) uint8 BGR; ``classes`` are the names by class index."""
        canvas = self.image.copy()
        for region in self.ignored:
            hatch(canvas, region)
        return draw_instances(canvas, self.masks, self.labels, boxes=self.boxes, classes=classes)


def hatch(canvas: np.ndarray, region: np.ndarray) -> None:
    """Draw diagonal stripes and an outline over a region, (H, W) bool, of a picture, in place."""
    inside, (height, width) = region.astype(np.uint8), region.shape
    diagonals = np.arange(height + width - 1) // STRIPE % 2
    for index, grey in enumerate((GREY, PALE)):
        stripe = sliding_window_view(diagonals == index, width)  # (H, W), of which only the diagonals take memory
        blend_inside(canvas, inside * stripe, (grey,) * 3, 0.5)
    blend_inside(canvas, rim(inside), (PALE,) * 3, 1)
