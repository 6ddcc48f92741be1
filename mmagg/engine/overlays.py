"""Pictures of test images with their predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmagg.io.images import read_image, write_image
from mmagg.visualization.predictions import draw_predictions


class OverlayHook(Hook):
    """Writes a picture of each test image with its predictions.

    Args:
        folder: for the pictures; they lie in subfolders as the images in ``image_root`` do.
        image_root: the data set's image folder.
        classes: names by class index.
        score_thr: less certain predictions are not drawn.
    """

    def __init__(self, *, folder: Path, image_root: Path, classes: Sequence[str], score_thr: float) -> None:
        self.folder, self.image_root, self.classes, self.score_thr = folder, image_root, classes, score_thr

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Draw a batch."""
        for sample in outputs or ():
            path = Path(sample.img_path)
            inside = path.relative_to(self.image_root) if path.is_relative_to(self.image_root) else Path(path.name)
            picture = draw_predictions(read_image(path), sample.pred_instances, self.classes, self.score_thr)
            write_image(picture, self.folder / inside)
