"""Annotated objects and detections of an image, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmagg.analysis.matching import Detections, Objects
from mmagg.apis.errors import InputError
from mmagg.apis.images import read_image
from mmagg.apis.result_files import Truth
from mmagg.visualization.overlay import draw_instances

GAP = 6  # pixels between pictures


def side_by_side(
    image: int, truth: Truth, shown: Sequence[Objects | Detections], *, folder: Path, iou_type: str, score_thr: float
) -> np.ndarray:
    """An image once for each of ``shown``, with their outlines.

    Args:
        image: its index.
        truth: the annotations.
        shown: what to draw, from left to right.
        folder: of the images.
        iou_type: 'segm' for masks, 'bbox' for boxes, as ``shown`` have them.
        score_thr: less certain detections are not drawn.

    Returns:
        (H, width, 3) uint8, BGR.

    Raises:
        InputError: the image cannot be read, or has another size than the annotations say.
    """
    path = folder / truth.names[image]
    picture = read_image(path)
    if picture.shape[:2] != truth.sizes[image]:
        raise InputError(f'{path}: {picture.shape[:2]} (height, width), the annotations say {truth.sizes[image]}')
    columns = []
    for things in shown:
        scores = getattr(things, 'scores', None)
        mine = np.flatnonzero((things.images == image) & (True if scores is None else scores >= score_thr))
        columns.append(
            draw_instances(
                picture,
                things.outlines[mine].tolist() if iou_type == 'segm' else None,
                things.labels[mine],
                None if scores is None else scores[mine],
                None if iou_type == 'segm' else _corners(things.outlines[mine]),
                truth.classes,
            )
        )
        columns.append(np.full((picture.shape[0], GAP, 3), 255, np.uint8))
    return np.concatenate(columns[:-1], axis=1)


def _corners(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) x, y, width, height -> x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
