"""Made-up objects and detections, and what COCO's evaluators make of them."""

import numpy as np
import pycocotools.mask as coco_mask

from mmagg.datasets.coco_objects import Detections, Objects, Truth

IMAGES, CLASSES, SIDE = 12, 4, 100  # no object is of the last class; pixels


def made_up(seed: int) -> tuple[Objects, Detections]:
    """Boxes, of which some overlap and some are crowds; half of the detections have the class of an object nearby."""
    rng = np.random.default_rng(seed)
    count = 60
    boxes = np.concatenate([rng.integers(5, 60, (count, 2)), rng.integers(8, 36, (count, 2))], axis=1).astype(float)
    images, labels = rng.integers(0, IMAGES, count), rng.integers(0, CLASSES - 1, count)
    objects = Objects(images, labels, boxes[:, 2:].prod(axis=1), rng.random(count) < 0.1, boxes)
    near = rng.integers(0, count, 3 * count)
    shifted = boxes[near] + rng.integers(-3, 4, (len(near), 4))
    labels = np.where(rng.random(len(near)) < 0.5, labels[near], rng.integers(0, CLASSES, len(near)))
    scores = rng.integers(1, 11, len(near)) / 10
    return objects, Detections(images[near], labels, shifted[:, 2:].prod(axis=1), scores, shifted).counted()


def truth_of(objects: Objects, *, images: int = IMAGES, classes: int = CLASSES) -> Truth:
    """Objects as those of an annotation file."""
    iou_type = 'segm' if objects.outlines.ndim == 1 else 'bbox'
    names = tuple(map(str, range(images)))
    sizes = ((SIDE, SIDE),) * images
    return Truth(
        iou_type, tuple(range(images)), names, sizes, tuple(range(classes)), tuple(map(str, range(classes))), objects
    )


def ellipse(box: np.ndarray) -> dict:
    """The RLE of the pixels of an ellipse in a box."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    left, top, width, height = box
    inside = (2 * (x - left) / width - 1) ** 2 + (2 * (y - top) / height - 1) ** 2 < 1
    return coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))


def coco_format(objects: Objects, detections: Detections) -> tuple[dict, dict]:
    """Both as COCO data sets; areas as they are given."""

    def entries(things: Objects | Detections) -> list[dict]:
        key = 'segmentation' if things.outlines.ndim == 1 else 'bbox'
        return [
            {
                'id': place + 1,
                'image_id': int(things.images[place]),
                'category_id': int(things.labels[place]),
                key: things.outlines[place] if things.outlines.ndim == 1 else things.outlines[place].tolist(),
                'area': float(things.areas[place]),
                'iscrowd': int(things.crowd[place]) if isinstance(things, Objects) else 0,
                'score': 0.0 if isinstance(things, Objects) else float(things.scores[place]),
            }
            for place in range(len(things))
        ]

    images = [{'id': place, 'height': SIDE, 'width': SIDE} for place in range(IMAGES)]
    known = {'images': images, 'categories': [{'id': label, 'name': str(label)} for label in range(CLASSES)]}
    return tuple({**known, 'annotations': entries(things)} for things in (objects, detections))
