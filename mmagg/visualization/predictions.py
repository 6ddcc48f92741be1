"""The confident predictions of a model, and their picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmagg.visualization.picture import draw_picture

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


def confident(predictions: 'InstanceData', score_thr: float) -> 'InstanceData':
    """The predictions whose score is at least ``score_thr``; the masks may be a tensor or a list of RLE."""
    return predictions[(predictions.scores >= score_thr).nonzero().flatten().cpu()]


def draw_predictions(
    image: np.ndarray | Path, predictions: 'InstanceData', classes: Sequence[str], score_thr: float
) -> np.ndarray:
    """The picture of the confident predictions of an image, or of its file; see `draw_picture`."""
    sure = confident(predictions, score_thr)
    return draw_picture(image, sure.get('masks'), sure.labels, sure.scores, sure.bboxes, classes)
