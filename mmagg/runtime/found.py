"""What an exported model finds in an image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Found:
    """The n instances of an image, in descending order of their scores.

    Attributes:
        size: (H, W) of the image in pixels.
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the image.
        scores: (n,) float32.
        labels: (n,) int64.
        rles: n masks as compressed RLE dicts, see `mmagg.rle.codes`; n times None where the model finds boxes alone.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    rles: tuple[dict | None, ...]

    def __len__(self) -> int:
        return len(self.labels)
