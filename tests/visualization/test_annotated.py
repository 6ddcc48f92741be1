"""Annotated images, drawn and on sheets."""

import numpy as np

from mmagg.visualization.annotated import LARGER, Annotated, hatch
from mmagg.visualization.captioned_sheet import Captioned, captioned_sheet


def scene(*, masks: bool = True) -> Annotated:
    """80 by 120 pixels: an object to the left, something to ignore below to the right."""
    mask, region = np.zeros((2, 1, 80, 120), bool)
    mask[0, 30:70, 4:44] = True
    region[0, 60:76, 80:112] = True
    image = np.full((80, 120, 3), 120, np.uint8)
    return Annotated(image, np.array([1]), np.array([[4.0, 30, 44, 70]]), mask if masks else None, region)


def test_objects_are_coloured_and_ignored_regions_grey():
    shown = scene().drawn(('circle', 'star'))
    inside, ignored = shown[34:66, 8:40].astype(int), shown[61:75, 81:111]
    assert np.ptp(inside, axis=-1).min() > 50
    assert (np.ptp(ignored, axis=-1) == 0).all()
    assert len(np.unique(ignored)) == 2  # stripes
    assert (shown[:50, 60:] == 120).all()
    assert (scene().image == 120).all()
    assert (scene(masks=False).drawn(('circle', 'star'))[34:66, 8:40] == 120).all()


def test_hatching_touches_its_region_alone():
    canvas, region = np.full((20, 30, 3), 255, np.uint8), np.zeros((20, 30), bool)
    region[5:15, 5:20] = True
    hatch(canvas, region)
    assert (canvas[~region] == 255).all()
    assert (canvas[6:14, 6:19] < 255).all()
    hatch(canvas, np.zeros_like(region))


def test_pictures_are_fitted_with_what_is_in_them():
    small = scene().fitted(40, 1000)
    assert small.image.shape == (40, 60, 3)
    np.testing.assert_array_equal(small.masks, scene().masks[:, ::2, ::2])
    np.testing.assert_array_equal(small.boxes, [[2, 15, 22, 35]])
    assert small.ignored.sum() * 4 == scene().ignored.sum()
    large = scene(masks=False).fitted(1000, 1000)
    assert large.image.shape == (80 * LARGER, 120 * LARGER, 3)
    assert large.masks is None
    none = scene()._replace(labels=np.zeros(0, int), boxes=np.zeros((0, 4)), masks=np.zeros((0, 80, 120), bool))
    assert none.fitted(40, 60).drawn(()).shape == (40, 60, 3)


def test_sheets_have_room_for_all_pictures_and_words():
    pictures = [np.full((height, 400, 3), value, np.uint8) for height, value in ((100, 40), (60, 90), (80, 140))]
    cells = [Captioned(picture, ['x' * 200, 'two']) for picture in pictures]
    sheet = captioned_sheet('heading', [cells[:2], cells[2:]])
    for picture, value in zip(pictures, (40, 90, 140), strict=True):
        assert (sheet == value).all(axis=2).sum() >= picture[..., 0].size
    top = [np.flatnonzero((sheet == value).all(axis=2).sum(axis=1) >= 400)[-1] for value in (40, 90)]
    assert top[0] == top[1]  # pictures of a row stand on one line
    below = sheet[top[0] + 1 : top[0] + 36]
    assert (below < 100).any()
