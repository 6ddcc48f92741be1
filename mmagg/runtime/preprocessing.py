"""From an image to the input of an exported model: mmdet's `Resize`, and padding to a fixed shape.

Normalisation, and padding to multiples of a number, are in the graph.
"""

from typing import NamedTuple

import cv2
import numpy as np

from mmagg.io.errors import InputError
from mmagg.io.images import bgr_image
from mmagg.runtime.description import Description


class Prepared(NamedTuple):
    """An image as the model takes it."""

    pixels: np.ndarray
    """(h, w, 3) uint8 BGR."""
    img_shape: tuple[int, int]
    """(height, width) of the resized image in it, at the top left."""
    size: tuple[int, int]
    """(H, W) of the image."""


def prepared(image: np.ndarray, description: Description) -> Prepared:
    """An image, resized and padded.

    Args:
        image: an array as of `bgr_image`, (H, W, 3) uint8 BGR.
        description: of the model.

    Raises:
        InputError: the array is no image, or is so narrow that nothing of it would be left.
    """
    image = bgr_image(image)
    height, width = image.shape[:2]
    w, h = resized_size(width, height, description)
    if not w or not h:
        raise InputError(
            f'{width} × {height} pixels, cannot be transformed: too narrow, it would have {w} × {h} pixels'
        )
    if description.backend == 'pillow':
        from PIL import Image

        pixels = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))
    else:
        pixels = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    if description.shape is not None:
        bottom, right = description.shape[0] - h, description.shape[1] - w
        mean = [round(value) for value in description.mean]
        pixels = cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=mean)
    return Prepared(pixels, (h, w), (height, width))


def resized_size(width: int, height: int, description: Description) -> tuple[int, int]:
    """Width and height of a resized image: those of mmcv's `imrescale` or `imresize`, less where a fixed shape is."""
    most = description.shape or (np.inf, np.inf)
    if not description.keep_ratio:
        return int(min(description.scale[0], most[1])), int(min(description.scale[1], most[0]))
    long, short = max(description.scale), min(description.scale)
    factor = min(long / max(height, width), short / min(height, width), most[0] / height, most[1] / width)
    return int(width * factor + 0.5), int(height * factor + 0.5)
