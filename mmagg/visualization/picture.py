"""The picture of an image with its instances, whatever the image's size.

Shape shorthand: N instances, (H, W) image size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmagg.io.image_windows import BUDGET, opened_or_read
from mmagg.io.images import image_header, read_image
from mmagg.rle.codes import instance_boxes, masks_to_rle
from mmagg.rle.columns import resized_rle
from mmagg.visualization.overlay import draw_instances

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 4096  # pixels of the longer side of the picture of an image that is not decoded as a whole


def draw_picture(
    image: np.ndarray | Path,
    masks: 'np.ndarray | Tensor | Sequence[np.ndarray | dict] | None',
    labels: 'np.ndarray | Tensor',
    scores: 'np.ndarray | Tensor | None' = None,
    boxes: 'np.ndarray | Tensor | None' = None,
    classes: Sequence[str] = (),
    colours: np.ndarray | None = None,
    font: int | None = None,
) -> np.ndarray:
    """Draw instances over an image as `draw_instances` does.

    One that takes more than `BUDGET`, decoded, is squeezed to `LONGEST` pixels, its instances with it: a picture of its
    size would take several times as much.

    Args:
        image: (H, W, 3) uint8 BGR, which is not changed, or a file.
        masks: as the others of `draw_instances`, in the frame of the image.

    Returns:
        (H, W, 3) uint8, BGR; of a squeezed image a smaller one.

    Raises:
        InputError: the file cannot be read as an image.
    """
    header = None if isinstance(image, np.ndarray) else image_header(image)
    width, height = image.shape[1::-1] if isinstance(image, np.ndarray) else header[1] if header else (0, 0)
    if 3 * height * width <= BUDGET:
        whole = image if isinstance(image, np.ndarray) else read_image(image)
        return draw_instances(whole, masks, labels, scores, boxes, classes, colours, font)
    with opened_or_read(image, budget=BUDGET) as windows:
        factor = min(1.0, LONGEST / max(windows.height, windows.width))
        size = max(1, round(windows.height * factor)), max(1, round(windows.width * factor))
        picture = windows.squeezed(*size)
    scale = np.tile([size[1] / windows.width, size[0] / windows.height], 2)
    smaller = None if masks is None else [resized_rle(rle, size) for rle in masks_to_rle(masks)]
    frames = None if boxes is None else instance_boxes(boxes, masks, count=len(labels)) * scale
    return draw_instances(picture, smaller, labels, scores, frames, classes, colours, font)
