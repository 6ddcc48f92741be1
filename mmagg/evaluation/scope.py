"""The scope of an analysis: which files, and how much is in them."""

from typing import NamedTuple

from mmagg.datasets.coco_objects import Detections, Truth


class Scope(NamedTuple):
    """The first fields of an analysis's JSON file.

    Attributes:
        annotations: their file, None where there is none.
        results: the file of the detections, None where there is none.
        iou_type: 'segm' for masks, 'bbox' for boxes.
        images: number of images.
        objects: number of objects without crowd regions.
        detections: number of detections that COCO counts.
    """

    annotations: str | None
    results: str | None
    iou_type: str
    images: int
    objects: int
    detections: int

    def __str__(self) -> str:
        return f'{self.images} images, {self.objects} objects, {self.detections} detections'


def scope_of(truth: Truth, detections: Detections) -> Scope:
    """The scope of an analysis of ``detections``."""
    annotations, results = (None if path is None else str(path) for path in (truth.path, detections.path))
    objects = int((~truth.objects.crowd).sum())
    return Scope(annotations, results, truth.iou_type, len(truth.image_ids), objects, len(detections))
