"""YOLO's segmentation labels: a text file an image, a line an object, its class and the corners of its outline."""

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.ops.polygons import Ring, mask_polygons, one_ring

DIGITS = 6  # of a share of the width or height: half a pixel is not reached below 500,000 pixels


def yolo_lines(image: AnnotatedImage) -> list[str]:
    """The lines of an image's label file: `class x y x y …`, as shares of width and height.

    A line is one ring, so that parts and holes are joined by bridges of no width (`one_ring`); `polygons_to_rle` gives
    the same mask again. A file is of outlines or of boxes: a box without a mask is its four corners among outlines,
    and `class x y w h`, from its centre, where no object of the image has a mask. Masks without a pixel have no line.
    Scores are left out, as they would be read as coordinates.
    """
    outlined = any(mask is not None for mask in image.masks)
    lines = []
    for label, mask, box in zip(image.labels, image.masks, image.boxes, strict=True):
        if mask is not None:
            polygons = mask_polygons(mask)
            if not polygons:
                continue
            points = one_ring(polygons)
        elif outlined:
            points = box_ring(box)
        else:
            points = np.stack([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
        height, width = image.size
        shares = (points / [width, height]).ravel()
        lines.append(' '.join([str(int(label)), *(f'{share:.{DIGITS}f}' for share in shares)]))
    return lines


def box_ring(box: np.ndarray) -> Ring:
    """The corners (4, 2) of a box x1, y1, x2, y2, clockwise as seen in the image."""
    return np.asarray(box, np.float64)[[[0, 1], [2, 1], [2, 3], [0, 3]]]
