"""An image with its instances, which every format is read into and written from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class AnnotatedImage:
    """What is in an image, N instances.

    Attributes:
        name: the image's file, a path with slashes below the folder of the images.
        size: (H, W) in pixels.
        classes: names of the classes, by label.
        labels: (N,) int, from 0.
        masks: N compressed RLE dicts as of `mmagg.rle.codes`; None for an instance that has a box alone.
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        scores: (N,) from 0 to 1; None where a person has drawn them.
        tracks: (N,) int, ids of objects through a video; None elsewhere.
        crowd: (N,) bool, regions of many objects, in which detections are neither right nor wrong; None if there are
            none.
    """

    name: str
    size: tuple[int, int]
    classes: Sequence[str]
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    masks: Sequence[dict | None] = ()
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    scores: np.ndarray | None = None
    tracks: np.ndarray | None = None
    crowd: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)
