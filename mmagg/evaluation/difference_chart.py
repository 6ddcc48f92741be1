"""Differences with their intervals, a line each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

WIDTH, LINE, DPI = 8, 0.28, 110  # inches, inches, dots per inch
BETTER, WORSE, OPEN = '#2a7f3f', '#b3352b', '#666666'


class Interval(NamedTuple):
    """A difference and the ends of its interval, nan where there is none."""

    name: str
    value: float
    low: float
    high: float


def plot_differences(title: str, groups: Sequence[Sequence[Interval]], path: Path) -> None:
    """Draw differences in per cent. An interval without 0 is green above it and red below it.

    Args:
        title: of the chart.
        groups: intervals as fractions, at least one; a rule stands between groups.
        path: the picture; its suffix chooses the format.
    """
    lines = [line for group in groups for line in group]
    figure = Figure(figsize=(WIDTH, 1.3 + LINE * len(lines)), layout='constrained')
    axes = figure.subplots()
    for place, line in enumerate(lines):
        colour = BETTER if line.low > 0 else WORSE if line.high < 0 else OPEN
        axes.plot([100 * line.low, 100 * line.high], [place, place], color=colour, linewidth=2)
        axes.plot(100 * line.value, place, 'o', color=colour)
    end = 0
    for group in groups[:-1]:
        end += len(group)
        axes.axhline(end - 0.5, color='lightgrey')
    axes.axvline(0, color='black', linewidth=0.8)
    axes.set_yticks(range(len(lines)), [line.name for line in lines], parse_math=False)  # dollars are no formula
    axes.set_title(title, parse_math=False)
    axes.set(xlabel='ΔAP in points, with its 95 % interval', ylim=(len(lines) - 0.4, -0.6))
    axes.grid(axis='x', alpha=0.3)
    figure.savefig(path, dpi=DPI)
