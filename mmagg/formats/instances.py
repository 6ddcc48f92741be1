"""The instances of an image as a reader finds them: shapes that are checked, joined, and made into masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.source import Size
from mmagg.io.errors import InputError
from mmagg.rle.codes import rle_area, rle_boxes
from mmagg.rle.polygons import Ring, polygons_to_rle

FAR = 1e6  # pixels from the image's corner; a corner beyond is a broken number
CORNERS = 720  # of an ellipse: its area is off by 1.3e-5

Shape = dict | np.ndarray
"""A part of an instance: RLE, or a box (4,) x1, y1, x2, y2."""


class _Instance(NamedTuple):
    label: int
    mask: dict | None
    box: np.ndarray
    crowd: bool


class Instances:
    """Collects the instances of an image.

    Args:
        name: of the image.
        size: (H, W).
        classes: names that are known already, in their order; others are added as they come. One that stands there
            twice is one class.
        said: what is left out is added to it.
    """

    def __init__(self, *, name: str, size: Size, said: list[str], classes: Sequence[str] = ()) -> None:
        self.name, self.size, self.said = name, size, said
        self._labels = {name: label for label, name in enumerate(dict.fromkeys(classes))}
        self._found: list[_Instance] = []

    def add(self, class_name: str, shapes: Sequence[Shape], *, crowd: bool = False) -> None:
        """Add an instance: the union of its shapes; of boxes alone, a box without a mask.

        Raises:
            InputError: the class has no name, or a box is no box.
        """
        if not isinstance(class_name, str) or not class_name:
            raise InputError(f'a class is {class_name!r}, not a name')
        boxes = [shape for shape in shapes if isinstance(shape, np.ndarray)]
        for box in boxes:
            if not (np.abs(box) < FAR).all() or not (box[2:] > box[:2]).all():
                raise InputError(f'a box has the corners {box.tolist()}')
        height, width = self.size
        mask: dict | None = None
        if len(boxes) == len(shapes):
            corners = np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])
            box = corners.clip(0, [width, height, width, height])
            area = float(np.prod(box[2:] - box[:2]))
        else:
            mask = union([box_mask(x, self.size) if isinstance(x, np.ndarray) else x for x in shapes])
            x, y, w, h = rle_boxes([mask])[0]
            box, area = np.array([x, y, x + w, y + h]), rle_area(mask)
        if not area:
            self.said.append(f'{self.name}: an object of class {class_name} has no pixel in the image')
            return
        label = self._labels.setdefault(class_name, len(self._labels))
        self._found.append(_Instance(label, mask, box, crowd))

    def image(self) -> AnnotatedImage:
        """The image with what was added."""
        crowd = [found.crowd for found in self._found]
        return AnnotatedImage(
            name=self.name,
            size=self.size,
            classes=list(self._labels),
            labels=np.array([found.label for found in self._found], int),
            masks=[found.mask for found in self._found],
            boxes=np.array([found.box for found in self._found], float).reshape(-1, 4),
            crowd=np.array(crowd, bool) if any(crowd) else None,
        )


def outline(points: object) -> Ring:
    """The corners of an outline, checked.

    Raises:
        InputError: they are no numbers, fewer than three, or far from any image.
    """
    try:
        ring = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError('an outline has corners that are no numbers') from error
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        raise InputError('an outline has fewer than three corners')
    if not (np.abs(ring) < FAR).all():
        raise InputError('an outline has corners that are no numbers, or far outside of the image')
    return ring


def ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float = 0.0) -> Ring:
    """The outline of an ellipse, turned clockwise as seen in the image."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    return turned(np.stack([np.cos(angle), np.sin(angle)], 1) * radii + centre, centre, degrees)


def turned(ring: Ring, centre: Sequence[float], degrees: float) -> Ring:
    """An outline turned around a point, clockwise as seen in the image."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (ring - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def box_ring(box: np.ndarray) -> Ring:
    """The corners (4, 2) of a box x1, y1, x2, y2, clockwise as seen in the image."""
    return np.asarray(box, np.float64)[[[0, 1], [2, 1], [2, 3], [0, 3]]]


def box_mask(box: np.ndarray, size: Size) -> dict:
    """The mask of a box x1, y1, x2, y2."""
    return polygons_to_rle([[box_ring(box)]], size)


def union(masks: Sequence[dict]) -> dict:
    """The union of RLE masks."""
    from pycocotools import mask as coco_mask

    if len(masks) == 1:
        return masks[0]
    merged = coco_mask.merge(list(masks))
    return {'size': [int(side) for side in merged['size']], 'counts': merged['counts'].decode()}


def check_size(said: Sequence[object], size: Size) -> None:
    """Refuse annotations of an image of another size: their outlines would not fit.

    Args:
        said: (H, W) as annotations have them; None where they do not say.
        size: of the image as it is read.

    Raises:
        InputError: they differ.
    """
    if any(side is not None and side != real for side, real in zip(said, size, strict=True)):
        raise InputError(
            f'the image is {size[1]}×{size[0]}, its annotations are of {said[1]}×{said[0]} (turned by EXIF, or resized '
            'since?); the outlines would not fit'
        )
