"""A confusion matrix as a picture.

Shape shorthand: K classes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

DPI = 110  # dots per inch
MOST_CLASSES = 80  # drawn: more cannot be read
NUMBERED = 25  # up to here there is room for numbers in the cells
CELL, SMALL_CELL = (0.24, None), (0.15, 7)  # inches, and size of the names in points; small ones where there are many


def plot_confusion(matrix: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw each row in per cent of its sum: what becomes of the objects of a class.

    Args:
        matrix: (K + 1, K + 1) from `confusion_matrix`. Of more than 80 classes those with most entries are drawn.
        classes: K names.
        path: the picture; its suffix chooses the format.
    """
    entries = matrix.sum(axis=0) + matrix.sum(axis=1)
    chosen = np.sort(np.argsort(-entries[:-1], kind='stable')[:MOST_CLASSES])
    shown = np.append(chosen, len(classes))
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    share = share[np.ix_(shown, shown)]
    cell, size = CELL if len(shown) <= NUMBERED else SMALL_CELL
    side = 3 + cell * len(shown)
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    axes = figure.subplots()
    picture = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
    names = [classes[place] for place in chosen]
    axes.set_xticks(range(len(shown)), [*names, 'missed'], rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(len(shown)), [*names, 'background'], fontsize=size, parse_math=False)
    title = '' if len(chosen) == len(classes) else f' ({len(chosen)} of {len(classes)} classes)'
    axes.set(xlabel='detected as', ylabel='is', title=f'share of each row{title}')
    if len(shown) <= NUMBERED:
        for row, column in zip(*share.round().nonzero(), strict=True):
            value = share[row, column]
            ink = 'white' if value > 60 else 'black'
            axes.text(column, row, f'{value:.0f}', ha='center', va='center', fontsize=7, color=ink)
    figure.colorbar(picture, ax=axes, label='%', shrink=0.6)
    figure.savefig(path, dpi=DPI)
