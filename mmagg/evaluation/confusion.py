"""Which classes are taken for which.

Shape shorthand: G objects, D detections, K classes.
"""

import numpy as np

from mmagg.datasets.coco_objects import Detections, Objects, ranks
from mmagg.evaluation.matching import match, overlaps


def confusion_matrix(
    detections: Detections, objects: Objects, *, classes: int, score_thr: float, iou_thr: float
) -> np.ndarray:
    """Objects by the class of the detection that lies on them.

    In each image the most certain detection chooses first, whatever the classes, the object that it overlaps most
    among those left. Detections in a crowd region of their class are not counted.

    Args:
        detections: D, as `Detections.counted` gives them.
        objects: G.
        classes: K.
        score_thr: less certain detections are left out.
        iou_thr: IoU from which a detection lies on an object.

    Returns:
        (K + 1, K + 1) int. Row: class of the object, the last one for detections on background; column: class of the
        detection, the last one for missed objects.
    """
    detections = detections[detections.scores >= score_thr]
    pairs = overlaps(detections, objects)
    agree = detections.labels[pairs.detections] == objects.labels[pairs.objects]
    pairs = pairs.where(agree | ~objects.crowd[pairs.objects])
    matches = match(pairs, ranks(detections.images), objects.crowd[None], objects.crowd, np.array([iou_thr]))[0, 0]
    found = matches >= 0
    in_crowd = np.zeros(len(detections), bool)
    in_crowd[found] = objects.crowd[matches[found]]
    true_labels = np.full(len(detections), classes)
    true_labels[found] = objects.labels[matches[found]]
    missed = ~objects.crowd
    missed[matches[found]] = False
    matrix = np.zeros((classes + 1, classes + 1), int)
    np.add.at(matrix, (true_labels[~in_crowd], detections.labels[~in_crowd]), 1)
    np.add.at(matrix, (objects.labels[missed], classes), 1)
    return matrix
