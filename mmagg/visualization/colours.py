"""Colours of instances, uint8 BGR: a hue per class, in which neighbours of a class differ in lightness.

Shape shorthand: N instances.
"""

import colorsys

import numpy as np

GOLDEN_RATIO = 0.618034  # steps of this size around the hue circle never come close to each other early on
SHADES = (0.0, 0.45, -0.4, 0.7, -0.6)  # towards white (1) or black (-1)
NEAR = 3  # pixels between neighbours' boxes
UNTRACKED = (160, 160, 160)


def class_colour(label: int) -> tuple[int, int, int]:
    """A vivid colour; neighbouring labels get well separated hues."""
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.95, 0.75))[label // 8 % 3]
    red, green, blue = colorsys.hsv_to_rgb((0.58 + label * GOLDEN_RATIO) % 1, saturation, value)
    return round(255 * blue), round(255 * green), round(255 * red)


def instance_colours(labels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Colours (N, 3) uint8: that of the class, in a shade that no neighbour of the same class has, if there is one.

    Args:
        labels: (N,) class indices.
        boxes: (N, 4) x1, y1, x2, y2 in pixels. Neighbours are instances whose boxes touch.
    """
    shades = np.zeros(len(labels), int)
    low, high = boxes[:, None, :2] - NEAR, boxes[:, None, 2:] + NEAR
    near = ((low <= boxes[:, 2:]) & (high >= boxes[:, :2])).all(axis=2) & (labels[:, None] == labels)
    for index in range(1, len(labels)):
        used = np.bincount(shades[:index][near[index, :index]], minlength=len(SHADES))
        shades[index] = used.argmin()
    pure = np.array([class_colour(int(label)) for label in labels], float).reshape(-1, 3)
    share = np.array(SHADES)[shades][:, None]
    return np.where(share < 0, pure * (1 + share), pure + share * (255 - pure)).round().astype(np.uint8)


def steady_colours(labels: np.ndarray, tracks: np.ndarray | None = None) -> np.ndarray:
    """Colours (N, 3) uint8 that stay the same from one frame of a video to the next.

    Args:
        labels: (N,) class indices, whose colours they are without `tracks`.
        tracks: (N,) numbers of tracks, each of which has a colour; grey where negative.
    """
    if tracks is None:
        return np.array([class_colour(label) for label in labels.tolist()], np.uint8).reshape(-1, 3)
    colours = [UNTRACKED if track < 0 else class_colour(track) for track in tracks.tolist()]
    return np.array(colours, np.uint8).reshape(-1, 3)
