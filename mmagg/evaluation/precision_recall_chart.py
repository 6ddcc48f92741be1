"""Precision over recall at several IoU thresholds, a panel for each class or mean of classes.

Shape shorthand: T IoU thresholds, R = 101 recalls.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

PANEL, DPI = (5.6, 3.9), 110  # inches, dots per inch
COLUMNS = 3
SHADES = 0.22, 0.95  # ends of the colour map: its first colours cannot be told from paper


def plot_precision_recall(panels: Mapping[str, np.ndarray], thresholds: np.ndarray, path: Path) -> None:
    """Draw the area below each curve, the strictest threshold on top, with its AP in the legend.

    Args:
        panels: titles, and (T, R) precision from `precision_recall`, of a class or the mean of classes; nan where there
            is no object.
        thresholds: (T,) of IoU.
        path: the picture; its suffix chooses the format.
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    colours = matplotlib.colormaps['YlGnBu'](np.linspace(*SHADES, len(thresholds)))
    for axes, (title, precision) in zip(grid, panels.items(), strict=False):
        recalls = np.linspace(0, 100, precision.shape[1])
        for threshold, values, colour in zip(thresholds, 100 * precision, colours, strict=True):
            area = axes.fill_between(recalls, values, color=colour, linewidth=0)
            area.set_label(f'{threshold:.2f}   {values.mean():5.1f}')
            axes.plot(recalls, values, color=colour * (0.75, 0.75, 0.75, 1), linewidth=0.9, clip_on=False)
        known = not np.isnan(precision).any()
        ap = f': AP {100 * precision.mean():.1f}' if known else ''
        axes.set_title(title + ap, parse_math=False)  # dollars in a name are no formula
        axes.set(xlabel='recall (%)', ylabel='precision (%)', xlim=(0, 100), ylim=(0, 100))
        axes.grid(alpha=0.35, linewidth=0.6)
        axes.spines[['top', 'right']].set_visible(False)
        if known:
            axes.legend(title='IoU     AP (%)', loc='center left', bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
        else:
            axes.text(50, 50, 'no objects', ha='center', va='center', color='grey')
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.savefig(path, dpi=DPI)
