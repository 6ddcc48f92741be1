"""AP with true outlines, and kinds of errors, as bars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE, DPI = (13, 4.2), 110  # inches, dots per inch


def plot_errors(report: Mapping[str, Any], path: Path) -> None:
    """Draw what `analyse_errors` found.

    Args:
        report: from there.
        path: the picture; its suffix chooses the format.
    """
    figure = Figure(figsize=SIZE, layout='constrained')
    replaced, counts, gains = figure.subplots(1, 3)
    for offset, key, label in ((-0.2, 'as_predicted', 'as predicted'), (0.2, 'true_outlines', 'true outlines')):
        values = [100 * (value or 0) for value in report[key].values()]
        bars = replaced.bar([place + offset for place in range(len(values))], values, 0.38, label=label)
        replaced.bar_label(bars, fmt='%.1f')
    replaced.set_xticks(range(len(report['as_predicted'])), list(report['as_predicted']))
    replaced.set(title='outlines replaced by the truth', ylabel='AP (%)', ylim=(0, 112))
    replaced.legend(frameon=False, ncols=2, loc='upper center')
    errors = report['errors']
    _bars(counts, list(errors), [error['count'] for error in errors.values()], '%d')
    counts.set(title='errors', xlabel='count')
    _bars(gains, list(errors), [100 * (error['gain'] or 0) for error in errors.values()], '%.1f')
    gains.set(
        title=f'gain if mended alone (now {_percent(report["ap"])})', xlabel=f'AP at IoU {report["iou_thr"]:g} (%)'
    )
    figure.savefig(path, dpi=DPI)


def _bars(axes: Axes, names: list[str], values: list[float], form: str) -> None:
    bars = axes.barh(names, values, color=[f'C{place}' for place in range(len(names))])
    axes.bar_label(bars, fmt=form, padding=3)
    axes.set_xlim(min(0, *values), max(1, *values) * 1.18)
    axes.invert_yaxis()


def _percent(value: float | None) -> str:
    return 'none' if value is None else f'{100 * value:.1f}'
