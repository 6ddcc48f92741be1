"""Annotated objects and detections of an image, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.io.errors import InputError
from mmagg.io.images import read_image
from mmagg.ops.rle import decode_mask, pairwise_iou
from mmagg.visualization.contact_sheet import enlarge, enlarge_image
from mmagg.visualization.overlay import draw_instances

GAP = 6  # pixels between pictures
LEAST_SIDE = 320  # pixels; smaller images are enlarged to about this side, so that labels do not cover them
SAME = 0.5  # IoU from which a detection has the colour of an object


def side_by_side(
    image: int, truth: Truth, detections: Sequence[Detections], *, folder: Path, score_thr: float
) -> np.ndarray:
    """An image with its annotated objects, and once more with each of ``detections``.

    A detection has the colour of the object of its class that it overlaps most, if their IoU is at least `SAME`.

    Args:
        image: its index.
        truth: the annotations.
        detections: results, from left to right.
        folder: of the images.
        score_thr: detections with a lower score are not drawn.

    Returns:
        (height, width, 3) uint8, BGR.

    Raises:
        InputError: the image cannot be read, or has another size than the annotations say.
    """
    path = folder / truth.names[image]
    picture = read_image(path)
    if picture.shape[:2] != truth.sizes[image]:
        raise InputError(f'{path}: {picture.shape[:2]} (height, width), the annotations say {truth.sizes[image]}')
    factor = max(1, round(LEAST_SIDE / max(picture.shape[:2])))
    picture = enlarge_image(picture, factor)

    def draw(things: Objects | Detections, mine: np.ndarray, colours: np.ndarray) -> np.ndarray:
        outlines, labels = things.outlines[mine], things.labels[mine]
        scores = things.scores[mine] if isinstance(things, Detections) else None
        if truth.iou_type == 'segm':
            masks, boxes = [enlarge(decode_mask(rle), factor) for rle in outlines], None
        else:
            masks, boxes = None, factor * _corners(outlines)
        return draw_instances(picture, masks, labels, scores, boxes, truth.classes, colours)

    annotated = np.flatnonzero(truth.objects.images == image)
    columns = [draw(truth.objects, annotated, np.arange(len(annotated)))]
    for found in detections:
        mine = np.flatnonzero((found.images == image) & (found.scores >= score_thr))
        gap = np.full((picture.shape[0], GAP, 3), 255, np.uint8)
        columns += [gap, draw(found, mine, _colours(found, mine, truth.objects, annotated))]
    return np.concatenate(columns, axis=1)


def _colours(found: Detections, mine: np.ndarray, objects: Objects, annotated: np.ndarray) -> np.ndarray:
    """(n,) colour numbers of the detections ``mine``: that of their object in ``annotated``, or one of their own."""
    others = len(annotated) + np.arange(len(mine))
    if not len(mine) or not len(annotated):
        return others
    ious = pairwise_iou(found.outlines[mine], objects.outlines[annotated], objects.crowd[annotated])
    ious = ious * (found.labels[mine][:, None] == objects.labels[annotated])
    return np.where(ious.max(axis=1) >= SAME, ious.argmax(axis=1), others)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, width, height -> x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
