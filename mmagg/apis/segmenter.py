"""A trained model as one callable."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.config import Config

from mmagg.apis.checkpoint import secure_loading
from mmagg.apis.inference import infer, load_model
from mmagg.apis.named_weights import chosen
from mmagg.io.errors import check_fraction
from mmagg.io.images import bgr_image, read_image
from mmagg.visualization.predictions import draw_predictions

Image = str | Path | np.ndarray


class Segmenter:
    """Finds the instances in images.

        segmenter = Segmenter('work_dirs/mine/solo.py', 'work_dirs/mine/epoch_12.pth')
        found = segmenter('street.jpg')
        names = [segmenter.classes[label] for label in found.pred_instances.labels]
        picture = segmenter.draw('street.jpg', found, score_thr=0.5)

    Args:
        config: a config file, ``mmagg::<path>`` or ``mmdet::<path>``, or a loaded config; not needed for `weights` that
            have a name.
        checkpoint: a .pth file or a URL; all of its weights must fit.
        weights: instead of a checkpoint: a name that ``mmagg weights`` lists, a file or a URL; others' are converted.
        device: e.g. ``cpu`` or ``cuda:0``; by default the GPU where there is one.
        cfg_options: changes to the config, dotted keys.
        trust_checkpoint: read a checkpoint that holds code; see `secure_loading`, which decides for the whole process.

    Attributes:
        model: the detector, in evaluation mode.

    Raises:
        InputError: the config, the checkpoint or the device cannot be used.
    """

    def __init__(
        self,
        config: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        *,
        weights: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict | None = None,
        trust_checkpoint: bool = False,
    ) -> None:
        secure_loading(trust=trust_checkpoint)
        config, checkpoint, cfg_options = chosen(config, checkpoint, weights, cfg_options, trust=trust_checkpoint)
        self.model = load_model(config, checkpoint, device, cfg_options)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by label."""
        return self.model.dataset_meta['classes']

    def __call__(self, images: Image | Sequence[Image]) -> DetDataSample | list[DetDataSample]:
        """Predict the instances of an image, or of each of several.

        Args:
            images: a file or an array as of `bgr_image`, e.g. (H, W, 3) uint8 BGR, or a sequence of them.

        Returns:
            A sample as of `infer`, or a list of them.

        Raises:
            InputError: an image cannot be read, or an array is no image.
        """
        if isinstance(images, Image):
            return infer(self.model, [images])[0]
        return infer(self.model, images)

    def draw(self, image: Image, prediction: DetDataSample, score_thr: float = 0.3) -> np.ndarray:
        """Draw what was found in an image.

        Args:
            image: a file or an array as of `bgr_image`; it is not changed.
            prediction: the sample of this image.
            score_thr: less certain instances are not drawn; from 0 to 1.

        Returns:
            (H, W, 3) uint8, BGR.
        """
        check_fraction(score_thr, 'score_thr')
        picture = bgr_image(image) if isinstance(image, np.ndarray) else read_image(Path(image))
        return draw_predictions(picture, prediction.pred_instances, self.classes, score_thr)
