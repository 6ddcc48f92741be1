"""labelme's own JSON: a file an image, beside it, of shapes."""

import base64

import cv2
import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.ops.polygons import mask_polygons
from mmagg.ops.rle import decode_window, mask_box

VERSION = '5.5.0'  # of labelme, as of which shapes are written
Shape = dict


def labelme_json(image: AnnotatedImage) -> dict:
    """What labelme saves of an image.

    A mask is a polygon that can be edited, or several with a `group_id` in common, by which labelme's own exports join
    parts. One with holes is a shape of type `mask`, the pixels of its box as a PNG: labelme has no holes, and as it
    draws the outlines of polygons as well, bridges to holes would leave a line of pixels. A box without a mask is a
    rectangle. Masks without a pixel are left out. A score stands in the description.
    """
    shapes = []
    scores = [None] * len(image) if image.scores is None else image.scores
    for place, (label, mask, box, score) in enumerate(zip(image.labels, image.masks, image.boxes, scores, strict=True)):
        for shape in [_shape('rectangle', box.reshape(2, 2))] if mask is None else _mask_shapes(mask, place + 1):
            said = '' if score is None else f'score {score:.3f}'
            shapes.append({'label': str(image.classes[int(label)]), **shape, 'description': said, 'flags': {}})
    height, width = image.size
    return {
        'version': VERSION,
        'flags': {},
        'shapes': shapes,
        'imagePath': image.name,
        'imageData': None,
        'imageHeight': int(height),
        'imageWidth': int(width),
    }


def _mask_shapes(mask: dict, group: int) -> list[Shape]:
    """The shapes of one object; `group` joins several."""
    polygons = mask_polygons(mask)
    if any(len(polygon) > 1 for polygon in polygons):
        x, y, w, h = mask_box(mask)
        png = cv2.imencode('.png', decode_window(mask, (x, y, w, h)))[1].tobytes()
        corners = np.array([[x, y], [x + w - 1, y + h - 1]])  # both pixels are inside, as labelme has it
        return [{**_shape('mask', corners), 'mask': base64.b64encode(png).decode()}]
    return [_shape('polygon', ring, group if len(polygons) > 1 else None) for (ring,) in polygons]


def _shape(kind: str, points: np.ndarray, group: int | None = None) -> Shape:
    return {'points': points.astype(float).tolist(), 'group_id': group, 'shape_type': kind, 'mask': None}
