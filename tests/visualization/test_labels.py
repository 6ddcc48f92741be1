import numpy as np

from mmagg.visualization.labels import LEAST, draw_labels, font_size
from mmagg.visualization.text import text_opacity

GREY = 128


def plates(texts: list[str], boxes: list[list[float]], importance: list[float], shape=(120, 160)) -> list[tuple]:
    """The (y1, x1, y2, x2) around each label, found by its colour; None if it is left out."""
    picture = np.full((*shape, 3), GREY, np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (len(texts), 3))
    draw_labels(picture, texts, np.array(boxes, float), colours, np.array(importance), font=LEAST)
    found = []
    for colour in colours:
        y, x = (abs(picture - (GREY + 0.8 * (colour - GREY))) <= 1).all(axis=2).nonzero()
        found.append((y.min(), x.min(), y.max(), x.max()) if len(y) else None)
    return found


def overlap(a: tuple, b: tuple) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def test_a_label_stands_above_its_box_where_there_is_room() -> None:
    ((top, left, bottom, _),) = plates(['cat'], [[30, 50, 80, 90]], [1])
    assert (left, bottom) == (30, 49)
    height, _ = text_opacity('cat', LEAST).shape
    assert bottom - top + 1 == height
    ((top, _, _, _),) = plates(['cat'], [[30, 2, 80, 90]], [1])
    assert top == 0  # as far above as there is room


def test_labels_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (12, 2))
    found = plates([f'class {i}' for i in range(12)], np.hstack([corners, corners + 20]).tolist(), [1] * 12)
    drawn = [place for place in found if place]
    assert len(drawn) > 6
    assert not any(overlap(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_the_most_important_label_comes_first_and_others_give_way() -> None:
    box = [0, 0, 50, 14]
    first, second = plates(['a label', 'a label'], [box, box], [0.1, 0.9], shape=(14, 60))
    assert first is None
    assert second is not None


def test_labels_keep_off_the_centres_of_others() -> None:
    (large, _) = plates(['large', 'x'], [[20, 40, 120, 110], [20, 28, 40, 38]], [1, 0])
    assert not (large[0] <= 33 <= large[2] and large[1] <= 30 <= large[3])


def test_fonts_grow_with_the_picture() -> None:
    assert font_size(np.zeros((28, 28, 3))) == LEAST
    assert font_size(np.zeros((3000, 4000, 3))) == 47
