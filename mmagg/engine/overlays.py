"""Pictures of test images with their predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmagg.io.images import write_image
from mmagg.visualization.predictions import draw_predictions


class OverlayHook(Hook):
    """Writes a picture of each test image with its predictions.

    Args:
        pictures: the file of each picture, by the path of the image; see `mmagg.io.pictures`.
        classes: names by class index.
        score_thr: less certain predictions are not drawn.
    """

    def __init__(self, *, pictures: Mapping[str, Path], classes: Sequence[str], score_thr: float) -> None:
        self.pictures, self.classes, self.score_thr = pictures, classes, score_thr

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Draw a batch."""
        for sample in outputs or ():
            picture = draw_predictions(Path(sample.img_path), sample.pred_instances, self.classes, self.score_thr)
            write_image(picture, self.pictures[sample.img_path])
