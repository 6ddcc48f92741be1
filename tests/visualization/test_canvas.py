"""A sheet of pictures and texts."""

import numpy as np

from mmagg.visualization.canvas import Canvas


def test_a_sheet_has_its_pictures_and_texts() -> None:
    canvas = Canvas(113, 231)
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    canvas.paste(picture, left=201, top=93)
    canvas.write('cost $5 to $6', x=100, y=50)
    sheet = canvas.picture()
    assert sheet.shape == (113, 231, 3)
    assert (sheet[93:, 201:] == picture).all()
    assert (sheet[40:60, 55:145] < 100).any()
    sheet[93:, 201:], sheet[40:60, 50:150] = 255, 255
    assert (sheet == 255).all()


def test_a_name_that_is_not_utf8_is_written() -> None:
    canvas = Canvas(50, 231)
    canvas.write('b\udcff.png', x=115, y=25)
    assert (canvas.picture() < 100).any()
