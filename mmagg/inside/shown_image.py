"""Checks of the image and the instances that pictures of a model's inside show."""

from pathlib import Path

import numpy as np
from mmengine.structures import InstanceData

from mmagg.io.errors import InputError
from mmagg.io.files import check_file
from mmagg.io.images import picture_path, read_image
from mmagg.io.paths import keep_apart
from mmagg.visualization.predictions import confident


def image_to_show(image: Path, out: Path, *others: str | Path | None) -> np.ndarray:
    """Read an image, (H, W, 3) uint8 BGR, of which a picture is to be written to `out`.

    Args:
        image: the file.
        out: the picture.
        others: files that are read as well; None is absent.

    Raises:
        InputError: it cannot be read, or the picture would overwrite a file that is read, or cannot be written.
    """
    for path in (out, picture_path(out)):
        keep_apart({'--out': path}, [image, *others])
        check_file(path)
    return read_image(image)


def certain(
    instances: InstanceData, score_thr: float, *, lowest: float, image: Path, word: str = 'instance'
) -> InstanceData:
    """The instances whose score is at least `score_thr`.

    Args:
        instances: of an image, the most certain first.
        score_thr: in [0, 1].
        lowest: the model's own score threshold, for the message.
        image: the image's file, for the message.
        word: a name for an instance, for the message.

    Raises:
        InputError: there is none.
    """
    if not len(instances):
        raise InputError(
            f'{image}: the model finds nothing in it; lower model.test_cfg.score_thr ({lowest:g}) with --cfg-options'
        )
    shown = confident(instances, score_thr)
    if not len(shown):
        raise InputError(
            f'{image}: no {word} has a score of {score_thr:g} or more, the best has '
            f'{float(instances.scores.max()):.3f}; lower --score-thr'
        )
    return shown
