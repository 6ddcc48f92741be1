"""AP of groups of objects as bars.

Shape shorthand: A groups.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmagg.evaluation.groups import GroupScores

HEIGHT, GROUP, MARGIN, DPI = 4.2, 1.5, 0.6, 110  # inches, inches a group, inches, dots per inch
BARS = {'AP': '#2b6ca3', 'AP50': '#a9d3e5', 'AP75': '#6aaed6', 'AR': '#e8a66c'}
WIDTH = 0.21  # of a bar; groups are 1 apart


def plot_groups(panels: Mapping[str, tuple[Sequence[str], GroupScores]], path: Path) -> None:
    """Draw AP, AP50, AP75 and AR of each group, and how many objects are in it.

    Args:
        panels: for each axis label the names of the A groups, and their scores.
        path: the picture; its suffix chooses the format.
    """
    widths = [MARGIN + GROUP * len(names) for names, _ in panels.values()]
    figure = Figure(figsize=(sum(widths), HEIGHT), layout='constrained')
    grid = figure.subplots(1, len(panels), width_ratios=widths, sharey=True, squeeze=False)[0]
    for axes, (label, (names, scores)) in zip(grid, panels.items(), strict=True):
        places = np.arange(len(names))
        for column, (name, colour) in enumerate(BARS.items()):
            values = 100 * getattr(scores, name.lower())[:, -1]
            bars = axes.bar(places + (column - 1.5) * WIDTH, values, 0.94 * WIDTH, color=colour, label=name)
            axes.bar_label(bars, [f'{v:.1f}' if v >= 0 else '' for v in values], fontsize=8, padding=1.5)
        counts = scores.objects[:, -1]
        axes.set_xticks(places, [f'{name}\n{_objects(count)}' for name, count in zip(names, counts, strict=True)])
        axes.set(xlabel=label, xlim=(-0.6, len(names) - 0.4), ylim=(0, 104))
        axes.tick_params('x', length=0)
        axes.grid(axis='y', alpha=0.35, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
    grid[0].set_ylabel('%')
    figure.legend(*grid[0].get_legend_handles_labels(), frameon=False, ncols=4, loc='outside upper center')
    figure.savefig(path, dpi=DPI)


def _objects(count: int) -> str:
    return '1 object' if count == 1 else f'{count:,} objects'
