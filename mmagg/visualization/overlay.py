"""Instances drawn over their image: translucent masks with a thin contour, boxes and small labels.

Shape shorthand: N instances, (H, W) image size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mmagg.rle.arrays import as_array
from mmagg.rle.codes import instance_boxes
from mmagg.visualization.colours import instance_colours
from mmagg.visualization.fonts import readable
from mmagg.visualization.labels import draw_labels, font_size
from mmagg.visualization.mask_layer import lay_mask

if TYPE_CHECKING:
    from torch import Tensor


def draw_instances(
    image: np.ndarray,
    masks: 'np.ndarray | Tensor | Sequence[np.ndarray | dict] | None',
    labels: 'np.ndarray | Tensor',
    scores: 'np.ndarray | Tensor | None' = None,
    boxes: 'np.ndarray | Tensor | None' = None,
    classes: Sequence[str] = (),
    colours: np.ndarray | None = None,
    font: int | None = None,
) -> np.ndarray:
    """Draw instances over an image. Large ones come first, so that small ones stay visible.

    Labels do not cover each other: see `draw_labels`. Draw at the size at which the picture is shown: scaled down, they
    may be too small.

    Args:
        image: (H, W, 3) uint8, BGR; not changed.
        masks: (N, H, W) bool, or N of them, (H, W) each or RLE dicts, or None for boxes only.
        labels: (N,) class indices.
        scores: (N,) in [0, 1], shown as per cent behind the class name.
        boxes: (N, 4) x1, y1, x2, y2 in pixels. Empty ones are replaced by the masks' own: mmdet's SOLO heads
            leave zeros.
        classes: names by class index; an index without a name, or with one that no font can write, is shown as a
            number.
        colours: (N, 3) uint8, BGR. Default: the classes', see `instance_colours`.
        font: size of the labels in pixels. Default: legible where the picture fills a screen, see `font_size`.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    canvas = image.copy()
    labels = as_array(labels)
    thickness = max(1, round(min(image.shape[:2]) / 500))
    frames = instance_boxes(boxes, masks, count=len(labels))
    size = (frames[:, 2:] - frames[:, :2]).prod(axis=1)
    order = np.argsort(-size, kind='stable')
    colours = instance_colours(labels, frames) if colours is None else np.asarray(colours)
    if masks is not None:
        for i in order:
            lay_mask(canvas, masks[i], colours[i], thickness=thickness)
    for i in order if boxes is not None else ():
        corners = np.round(frames[i]).astype(int)
        cv2.rectangle(canvas, corners[:2].tolist(), corners[2:].tolist(), colours[i].tolist(), thickness)
    names = [readable(classes[i], str(i)) if i < len(classes) else str(i) for i in labels.tolist()]
    if scores is not None:
        scores = as_array(scores)
        names = [f'{name} {100 * score:.0f}' for name, score in zip(names, scores.tolist(), strict=True)]
    importance = size if scores is None else scores
    draw_labels(canvas, names, frames, colours, importance, font=font or font_size(canvas))
    return canvas
