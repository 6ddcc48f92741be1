"""Labels of instances on plates of their colour, placed so that none covers another.

Shape shorthand: N labels, C places of a label.
"""

from collections.abc import Sequence

import numpy as np

from mmagg.visualization.text import blend, ink_on, text_opacity

SHARE, LEAST = 1 / 85, 11  # the font's size: of the picture's longer side, which is shown on a screen; pixels
SMALLER = 0.8  # of the size, where there is no room for a larger label
PLATE = 0.8  # opacity


def font_size(picture: np.ndarray) -> int:
    """The size of a font that is legible where the whole picture is shown on a screen."""
    return max(LEAST, round(SHARE * max(picture.shape[:2])))


def draw_labels(
    picture: np.ndarray,
    texts: Sequence[str],
    boxes: np.ndarray,
    colours: np.ndarray,
    importance: np.ndarray,
    *,
    font: int,
) -> None:
    """Write a text at each box, in place, the most important ones first.

    A label is at its box's corners, above, below or inside, where it covers no other label and as few centres of other
    boxes as can be. Without room it is smaller; without room for that it is left out.

    Args:
        picture: (H, W, 3) uint8, BGR.
        texts: N of them, as of `readable`.
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        colours: (N, 3) uint8, of the plates.
        importance: (N,)
        font: size in pixels.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    attempts = []
    for size in (font, max(1, round(SMALLER * font))):
        plates = [_Plate(text, size) for text in texts]
        attempts.append((plates, *_places(boxes, plates, picture.shape, centres)))
    taken, count = np.empty((2, len(texts), 2), int), 0
    for index in np.argsort(-importance, kind='stable'):
        for plates, places, costs in attempts:
            plate = plates[index]
            place = _free(places[index], costs[index], plate, taken[:, :count])
            if place is not None:
                plate.draw(picture, place, colours[index])
                taken[:, count] = place, place + plate.size
                count += 1
                break


class _Plate:
    """A text on a plate; ``size`` is its width and height."""

    def __init__(self, text: str, font: int) -> None:
        self._opacity, self._pad = text_opacity(text, font)[..., None], max(1, font // 6)
        self.size = np.array([self._opacity.shape[1] + 2 * self._pad, self._opacity.shape[0]])

    def draw(self, picture: np.ndarray, place: np.ndarray, colour: np.ndarray) -> None:
        """Draw it in place, its upper left corner at ``place``, (x, y)."""
        (x, y), (width, height) = place.tolist(), self.size.tolist()
        under = picture[y : y + height, x : x + width]
        blend(under, colour, PLATE)
        blend(under[:, self._pad : -self._pad], ink_on(colour), self._opacity)


def _places(
    boxes: np.ndarray, plates: Sequence[_Plate], shape: Sequence[int], centres: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, C, 2) for the upper left corner (x, y) of n plates in a picture, and what they cost, (n, C).

    A place costs the ``centres``, (N, 2), that the plate would hide, and another one if it is far from its box; too
    large a plate costs inf.
    """
    size = np.array([plate.size for plate in plates]).reshape(-1, 2)
    left, top, right, bottom = np.round(boxes).astype(int).T
    width, height = size.T
    middle = (left + right - width) // 2, (top + bottom - height) // 2
    x = left, left, left, right - width, right - width, right - width, right, left - width, middle[0]
    y = top - height, top, bottom, top - height, top, bottom, top, top, middle[1]
    wished = np.stack([np.stack(x, axis=1), np.stack(y, axis=1)], axis=2)
    room = np.array([shape[1], shape[0]]) - size
    places = np.clip(wished, 0, np.maximum(room, 0)[:, None])
    hidden = np.ones((*places.shape[:2], len(centres)), bool)
    for axis in (0, 1):
        low = places[..., axis, None]
        hidden &= (low < centres[:, axis]) & (low + size[:, None, axis, None] > centres[:, axis])
    far = abs(places - wished).sum(axis=2) > height[:, None]
    costs = np.where((room < 0).any(axis=1)[:, None], np.inf, hidden.sum(axis=2) + far)
    return places, costs


def _free(places: np.ndarray, costs: np.ndarray, plate: _Plate, taken: np.ndarray) -> np.ndarray | None:
    """The cheapest of C places where a plate covers none of those at ``taken``, (2, n, 2): first and last corners."""
    covers = ((places[:, None] < taken[1]) & ((places + plate.size)[:, None] > taken[0])).all(axis=2).any(axis=1)
    costs = np.where(covers, np.inf, costs)
    best = costs.argmin()
    return places[best] if costs[best] < np.inf else None
