"""How near the objects of an image are to each other.

Shape shorthand: N objects of all images.
"""

from dataclasses import dataclass

import numpy as np

from mmagg.experiments.annotated_objects import AnnotatedObjects, pairs_of_images


@dataclass(frozen=True)
class Crowding:
    """How near the objects of an image are to each other, whatever their classes.

    Attributes:
        neighbours: (N,) others whose boxes overlap an object's.
        iou: (N,) the greatest IoU of its box with another's; 0 without one.
        distance: (N,) from its centre of mass to the nearest other's, in pixels of the image; inf without another.
    """

    neighbours: np.ndarray
    iou: np.ndarray
    distance: np.ndarray


def crowding(objects: AnnotatedObjects) -> Crowding:
    """Compare each object with the others of its image; memory of O(N)."""
    boxes, centres = objects.boxes, objects.centres
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    neighbours, iou = np.zeros(len(objects), int), np.zeros(len(objects))
    distance = np.full(len(objects), np.inf)
    for first, second in pairs_of_images(objects.images):
        low, high = np.maximum(boxes[first, :2], boxes[second, :2]), np.minimum(boxes[first, 2:], boxes[second, 2:])
        inner = (high - low).clip(min=0).prod(axis=1)
        union = areas[first] + areas[second] - inner
        shared = np.divide(inner, union, out=np.zeros(len(first)), where=union > 0)
        apart = np.hypot(*(centres[first] - centres[second]).T)
        for side in (first, second):
            neighbours[side] += inner > 0
            iou[side] = np.maximum(iou[side], shared)
            distance[side] = np.minimum(distance[side], apart)
    return Crowding(neighbours, iou, distance)
