"""Masks with all that formats lose: holes, several parts, borders, single pixels, corners that touch."""

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.rle.codes import instance_boxes, masks_to_rle


def awkward_masks(height: int = 37, width: int = 53) -> np.ndarray:
    """(N, H, W) bool."""
    y, x = np.mgrid[:height, :width]
    disc = (x - 20) ** 2 + (y - 18) ** 2 < 200
    masks = [
        disc,
        disc & ((x - 20) ** 2 + (y - 18) ** 2 > 60),  # a hole
        (x % 13 < 4) & (y % 9 < 5),  # parts
        ((x % 13 < 9) & (y % 12 < 9)) & ~((x % 13 > 2) & (x % 13 < 5) & (y % 12 == 4)),  # parts with holes
        (x < 5) | (y > height - 4),  # at the borders
        np.ones_like(disc),
        (x == width - 1) & (y == height - 1),
        ((x + y) % 2 == 0) & (x < 12) & (y < 12),  # a part a pixel
        (np.random.default_rng(0).random(disc.shape) < 0.6) & (x < 16) & (y < 16),
    ]
    return np.stack(masks)


def annotated(masks: np.ndarray, *, name: str = 'a.png', classes: tuple[str, ...] = ('nut', 'two words')):
    """An image with these masks, of the classes in turn."""
    rles = masks_to_rle(masks)
    return AnnotatedImage(
        name=name,
        size=masks.shape[1:],
        classes=classes,
        labels=np.arange(len(masks)) % len(classes),
        masks=rles,
        boxes=instance_boxes(None, rles, count=len(masks)),
    )
