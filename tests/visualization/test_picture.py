"""Pictures of images of any size."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.apis.result import Result
from mmagg.io import image_windows
from mmagg.rle.codes import masks_to_rle
from mmagg.visualization import picture
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.picture import draw_picture

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
MASKS = np.zeros((2, 80, 120), bool)
MASKS[0, 40:60, 40:60] = MASKS[1, 20:72, 4:100] = True
REST = np.array([0, 1]), np.array([0.9, 0.5]), np.array([[40, 40, 60, 60], [4, 20, 100, 72]], np.float32), ('a', 'b')


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of 80 by 120 pixels does not fit, and its picture has 60 at its longer side."""
    monkeypatch.setattr(picture, 'BUDGET', IMAGE.nbytes - 1)
    monkeypatch.setattr(picture, 'LONGEST', 60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / 'image.png'), IMAGE)
    return tmp_path / 'image.png'


def test_what_fits_is_drawn_as_it_is(path: Path) -> None:
    for image in (IMAGE, path):
        assert (draw_picture(image, MASKS, *REST) == draw_instances(IMAGE, MASKS, *REST)).all()


@pytest.mark.usefixtures('large')
def test_what_does_not_fit_is_squeezed_with_its_instances(path: Path) -> None:
    squeezed = cv2.resize(IMAGE, (60, 40), interpolation=cv2.INTER_AREA)
    want = draw_instances(squeezed, MASKS[:, ::2, ::2], REST[0], REST[1], REST[2] / 2, REST[3])
    for image in (IMAGE, path):
        for masks in (MASKS, masks_to_rle(MASKS)):
            assert (draw_picture(image, masks, *REST) == want).all()


@pytest.mark.usefixtures('large')
def test_a_result_of_a_large_image_is_not_read_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which stands for an image of more pixels than OpenCV reads; a crop is read by a window, too."""
    windows = image_windows.opened
    monkeypatch.setattr(image_windows, 'opened', lambda image, budget=0: windows(IMAGE))
    monkeypatch.setattr(picture, 'read_image', None)
    labels, scores, boxes, classes = REST
    result = Result((80, 120), classes, boxes, scores, labels, tuple(masks_to_rle(MASKS)), path=path)
    assert result.plot().shape == (40, 60, 3)
    assert (result.crop(0) == IMAGE[40:60, 40:60]).all()
