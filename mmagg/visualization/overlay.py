"""Instances drawn over their image: translucent masks with a thin contour, boxes and small labels.

Shape shorthand: N instances, (H, W) image size.
"""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from mmagg.ops.rle import decode_mask, instance_boxes

FILL = 0.45  # opacity of a mask
GOLDEN_RATIO = 0.618034  # steps of this size around the hue circle never come close to each other early on


def instance_colour(index: int) -> tuple[int, int, int]:
    """A vivid BGR colour; neighbouring indices get well separated hues."""
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.75))[index // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb((0.58 + index * GOLDEN_RATIO) % 1, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def draw_instances(
    image: np.ndarray,
    masks: np.ndarray | Tensor | Sequence[dict] | None,
    labels: np.ndarray | Tensor,
    scores: np.ndarray | Tensor | None = None,
    boxes: np.ndarray | Tensor | None = None,
    classes: Sequence[str] = (),
    colours: Sequence[int] | None = None,
) -> np.ndarray:
    """Draw instances over an image. Large ones come first, so that small ones stay visible.

    Args:
        image: (H, W, 3) uint8, BGR; not changed.
        masks: (N, H, W) bool, or N RLE dicts, or None for boxes only.
        labels: (N,) class indices.
        scores: (N,) in [0, 1], shown as per cent behind the class name.
        boxes: (N, 4) x1, y1, x2, y2 in pixels. Empty ones are replaced by the masks' own: mmdet's SOLO heads
            leave zeros.
        classes: names by class index; an index without a name is shown as a number.
        colours: N numbers; equal ones get the same colour. Default: 0 to N - 1.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    canvas = image.copy()
    labels = _array(labels)
    thickness = max(1, round(min(image.shape[:2]) / 500))
    frames = instance_boxes(boxes, masks, count=len(labels))
    size = (frames[:, 2:] - frames[:, :2]).prod(axis=1)
    order = np.argsort(-size, kind='stable')
    palette = [instance_colour(int(i)) for i in (range(len(labels)) if colours is None else colours)]
    for i in order if masks is not None else ():
        _fill(canvas, decode_mask(masks[i]), palette[i], thickness)
    for i in order if boxes is not None else ():
        corners = np.round(frames[i]).astype(int)
        cv2.rectangle(canvas, corners[:2].tolist(), corners[2:].tolist(), palette[i], thickness)
    for i in order:
        name = classes[labels[i]] if labels[i] < len(classes) else str(labels[i])
        percent = '' if scores is None else f' {100 * float(scores[i]):.0f}'
        _write(canvas, f'{name}{percent}', frames[i, :2], palette[i])
    return canvas


def _fill(canvas: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], thickness: int) -> None:
    """Blend one mask into the canvas in place, touching only the mask's own rectangle."""
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if w == 0 or h == 0:
        return
    crop, inside = canvas[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    crop[inside] = ((1 - FILL) * crop[inside] + FILL * np.array(colour)).round().astype(np.uint8)
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x, y))
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)


def _write(canvas: np.ndarray, text: str, corner: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A small label on a plate, above the corner (x, y) where there is room, inside the image in any case."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, float(np.clip(min(canvas.shape[:2]) / 1400, 0.32, 1.2))
    stroke = max(1, round(1.6 * scale))
    (w, h), below = cv2.getTextSize(text, font, scale, stroke)
    pad = max(1, round(5 * scale))
    plate_w, plate_h = w + 2 * pad, h + below + 2 * pad
    x, y = (int(v) for v in np.round(corner))
    y = y - plate_h if y >= plate_h else y
    x, y = max(0, min(x, canvas.shape[1] - plate_w)), max(0, min(y, canvas.shape[0] - plate_h))
    plate = canvas[y : y + plate_h, x : x + plate_w]
    plate[:] = (0.2 * plate + 0.8 * np.array(colour)).astype(np.uint8)
    luminance = np.dot((0.114, 0.587, 0.299), colour)
    ink = (0, 0, 0) if luminance > 130 else (255, 255, 255)
    cv2.putText(canvas, text, (x + pad, y + pad + h), font, scale, ink, stroke, cv2.LINE_AA)


def _array(values: np.ndarray | Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
