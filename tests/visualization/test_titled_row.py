import numpy as np

from mmagg.visualization.titled_row import GAP, HEADER, Titled, titled_row

RED = (0, 0, 255)


def panel(value: int, *, width: int = 320, title: str = 'A: solo', legend=((RED, 'wrong 3'),)) -> Titled:
    return Titled(np.full((50, width, 3), value, np.uint8), title, legend)


def test_pictures_stand_below_their_titles_and_legends() -> None:
    row = titled_row([panel(10), panel(20, title='', legend=())])
    assert row.shape == (HEADER + 50, 2 * 320 + GAP, 3)
    assert (row[HEADER:, :320] == 10).all()
    assert (row[HEADER:, 320 + GAP :] == 20).all()
    assert (row[:25, :320] < 100).any()
    assert (row[25:HEADER] == RED).all(axis=2).sum() == 100
    assert (row[:HEADER, 320:] == 255).all()


def test_narrow_pictures_have_room_for_their_legend_and_long_titles_are_cut() -> None:
    row = titled_row([panel(10, width=20, title='x' * 200)])
    assert 60 < row.shape[1] < 200
    assert (row[HEADER:, :20] == 10).all()
    assert (row[HEADER:, 20:] == 255).all()
