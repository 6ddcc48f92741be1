"""A reliability diagram: scores against the share of detections that is right."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmagg.evaluation.calibration import Calibration

SIZE, DPI = (6.4, 6.6), 110  # inches, dots per inch
BAR, OVER, UNDER, IOU = '#4878a8', '#d1605e', '#6aa56e', '#e49444'
LOWEST = 0.7  # where the axis of counts begins, so that a bar of one detection can be seen


def plot_calibration(result: Calibration, title: str, path: Path) -> None:
    """Draw precision by score, how far from the mean score it is, the IoU of right detections, and counts below.

    Args:
        result: from `calibration`.
        title: of the chart.
        path: the picture; its suffix chooses the format.
    """
    figure = Figure(figsize=SIZE, layout='constrained')
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    filled = result.counts > 0
    edges, width = result.edges[:-1][filled], result.edges[1]
    middles = edges + width / 2
    score, precision, iou = result.scores[filled], result.precision[filled], result.ious[filled]
    style = dict(width=width, align='edge', linewidth=0.8)
    diagram.bar(edges, np.minimum(score, precision), color=BAR, edgecolor='white', label='right', **style)
    for sign, colour, label in ((1, OVER, 'less often'), (-1, UNDER, 'more often')):
        gap = sign * (score - precision)
        mine = gap > 0
        if mine.any():
            low = np.minimum(score, precision)[mine]
            faint = dict(color=(colour, 0.25), edgecolor=colour, hatch='///', label=f'{label} than scores say')
            diagram.bar(edges[mine], gap[mine], bottom=low, **style, **faint)
    diagram.plot(middles, iou, 'o-', color=IOU, linewidth=1.2, markersize=5, label='mean IoU of the right ones')
    diagram.plot([0, 1], [0, 1], '--', color='black', linewidth=1)
    errors = f'ECE {_percent(result.error)}, with IoU {_percent(result.localisation_error)}'
    figure.suptitle(f'{title}: {errors}', parse_math=False)
    diagram.set(ylabel='share of the detections in a bin', xlim=(0, 1), ylim=(0, 1.02))
    diagram.legend(frameon=False, ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1))
    bars = counts.bar(edges, result.counts[filled], color='#999999', edgecolor='white', **style)
    if len(edges) <= 15:
        counts.bar_label(bars, [f'{count:,}' for count in result.counts[filled]], fontsize=8, padding=1)
    counts.set_yscale('log')
    counts.set(xlabel='score', ylabel='detections', ylim=(LOWEST, 8 * max(10, result.counts.max(initial=1))))
    for axes in (diagram, counts):
        axes.grid(axis='y', alpha=0.35, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
    figure.savefig(path, dpi=DPI)


def _percent(value: float) -> str:
    return 'none' if np.isnan(value) else f'{100 * value:.1f} %'
