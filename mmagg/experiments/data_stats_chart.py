"""The chart of a data set's statistics: classes, objects of an image, sizes, and what is out of configs' reach.

Shape shorthand: P files, K classes, I images, N objects.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmagg.experiments.config_fit import ConfigFit, groups
from mmagg.visualization.chart import write_chart
from mmagg.visualization.fonts import readable

MOST_CLASSES = 30
MOST_BINS = 100
BLUE, ORANGE = '#2b6ca3', '#e8a66c'
REASONS = {
    'without': ('no cell or location', '#b04a4a'),
    'lost': ('lost to others', ORANGE),
    'small': ('too small', '#6aaed6'),
    'beyond': ('beyond the detections of an image', '#8c8c8c'),
}


def draw(
    path: Path,
    parts: Sequence[str],
    classes: Sequence[str],
    objects: np.ndarray,
    per_image: np.ndarray,
    sides: np.ndarray,
    fits: Sequence[ConfigFit],
) -> None:
    """Draw four panels.

    Args:
        path: of the picture; its suffix chooses the format.
        parts: names of the P files.
        classes: K names.
        objects: (P, K) numbers; the most frequent classes are drawn.
        per_image: (I,) numbers of objects.
        sides: (N,) sqrt(area) in pixels.
        fits: of the configs.
    """
    figure = Figure(figsize=(13, 4 + 0.2 * max(min(len(classes), MOST_CLASSES), 12)), layout='constrained')
    upper, lower = figure.subplots(2, 2)
    _draw_classes(upper[0], parts, classes, objects)
    most = int(per_image.max())
    bins = np.arange(min(most, MOST_BINS) + 2) * max(most / MOST_BINS, 1) - 0.5
    upper[1].hist(per_image, bins=bins, color=BLUE)
    upper[1].set(xlabel='objects of an image', ylabel='images')
    lower[0].hist(sides, bins=np.geomspace(max(sides.min(), 1), max(sides.max(), 2) + 1, 40), color=BLUE)
    lower[0].set(xscale='log', xlabel='size, sqrt(area), in pixels of the image', ylabel='objects')
    _draw_fits(lower[1], fits)
    write_chart(figure, path)


def _draw_classes(axes: Axes, parts: Sequence[str], classes: Sequence[str], objects: np.ndarray) -> None:
    shown = np.argsort(-objects.sum(axis=0), kind='stable')[:MOST_CLASSES][::-1]
    left = np.zeros(len(shown))
    for part, counts, colour in zip(parts, objects[:, shown], (BLUE, ORANGE), strict=False):
        axes.barh(np.arange(len(shown)), counts, left=left, color=colour, label=readable(part, 'annotations'))
        left += counts
    names = [readable(classes[label], str(label)) for label in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8, parse_math=False)
    axes.set(xlabel='objects', title=f'{len(shown)} of {len(classes)} classes' if len(shown) < len(classes) else '')
    axes.legend()


def _draw_fits(axes: Axes, fits: Sequence[ConfigFit]) -> None:
    """Shares of objects by what is in the way; an object with several reasons is drawn for each."""
    rows = [row[0] for row in groups(fits)][::-1]
    height = 0.8 / len(REASONS)
    for place, (name, (label, colour)) in enumerate(REASONS.items()):
        shares = [100 * (fit.share(getattr(fit, name)) or 0) for fit in rows]
        axes.barh(np.arange(len(rows)) + (1.5 - place) * height, shares, height, color=colour, label=label)
    names = [readable(fit.config, str(place)) for place, fit in enumerate(rows)]
    axes.set_yticks(range(len(rows)), names, fontsize=8, parse_math=False)
    axes.set(xlabel='% of the objects', xlim=(0, max(axes.get_xlim()[1], 5)))  # a thousandth does not look like much
    axes.legend(fontsize=8)
