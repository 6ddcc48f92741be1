"""Pairs of pictures on a sheet."""

import numpy as np

from mmagg.visualization.contact_sheet import GAP, HEADER, PAIR_GAP, enlarge, enlarge_image, paired_sheet


def _plain(value: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pairs_stand_side_by_side_and_row_by_row():
    sheet = paired_sheet([(_plain(10 * i), _plain(10 * i + 5)) for i in range(1, 4)], ('', ''), columns=2)
    assert sheet.shape == (HEADER + 2 * (6 + GAP), 2 * (16 + GAP) + PAIR_GAP, 3)
    assert (sheet[HEADER : HEADER + 6, :8] == 10).all()
    assert (sheet[HEADER : HEADER + 6, 8 + GAP : 16 + GAP] == 15).all()
    assert (sheet[HEADER + 6 + GAP :][:6, :8] == 30).all()
    assert (sheet[HEADER + 6 + GAP :, 16 + GAP :] == 255).all()


def test_smaller_pictures_are_centred_in_their_cell():
    sheet = paired_sheet([(_plain(10), _plain(20, 2, 4))], ('', ''), columns=3)
    assert (sheet[HEADER + 2 : HEADER + 4, 8 + GAP + 2 : 8 + GAP + 6] == 20).all()
    assert (sheet == 20).all(axis=2).sum() == 2 * 4


def test_titles_stand_above_both_sides():
    sheet = paired_sheet([(_plain(0, 20, 200), _plain(0, 20, 200))], ('left', 'right'), columns=1)
    assert (sheet[:HEADER, :200] < 100).any()
    assert (sheet[:HEADER, 200 + GAP :] < 100).any()


def test_enlarged_masks_and_images_fit():
    mask = np.eye(3, dtype=bool)[None]
    assert (enlarge(mask, 2)[:, ::2, ::2] == mask).all()
    assert (enlarge(mask, 2)[:, 1::2, 1::2] == mask).all()
    assert enlarge_image(_plain(7), 2).shape == (12, 16, 3)
