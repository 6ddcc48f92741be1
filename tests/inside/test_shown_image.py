"""Checks of the image and of the picture's file before a model runs."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.inside.shown_image import image_to_show
from mmagg.io.errors import InputError


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.zeros((4, 6, 3), np.uint8))
    assert image_to_show(image, tmp_path / 'new' / 'out.png').shape == (4, 6, 3)
    assert not (tmp_path / 'new').exists()
    model = tmp_path / 'model.pth'
    for out, message in (
        (image, 'is an input'),
        (model, 'is an input'),
        (image / 'out.png', 'is a file; name a folder'),
    ):
        with pytest.raises(InputError, match=message):
            image_to_show(image, out, model, None)
