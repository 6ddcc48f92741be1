"""The boxes of several detectors and the masks in them, side by side (MEInst, Table 1, Figure 4)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmagg.evaluation.coco_scores import AP_NAMES
from mmagg.io.errors import InputError
from mmagg.io.files import read_json, require_file
from mmagg.io.tables import percent
from mmagg.visualization.chart import write_chart

SIZE = (9, 4)  # inches
Summary = dict[str, Any]
"""`FilledReport.summary` of a run, as its .metrics.json holds it."""


def read_summary(path: str | Path) -> Summary:
    """What `FilledReport.write` wrote beside the masks.

    Raises:
        InputError: it is no such file.
    """
    path = Path(path)
    require_file(path, '--beside')
    try:
        summary = read_json(path)
        sound = isinstance(summary['boxes_from'], str) and summary['images'] > 0 and summary['boxes'] >= 0
        sound = sound and all(_is_share(summary[kind][name]) for kind in ('bbox', 'segm') for name in AP_NAMES)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f'--beside {path}: is no NAME.metrics.json of boxes_to_masks') from error
    if not sound:
        raise InputError(f'--beside {path}: is no NAME.metrics.json of boxes_to_masks')
    return summary


def _is_share(value: Any) -> bool:
    return value is None or 0 <= value <= 1


def table(summaries: Sequence[Summary]) -> str:
    """A row for the boxes of each detector, as in MEInst's Table 1: boxes per image, mask AP and box AP in per cent."""
    rows = [('boxes from', 'per image', 'mask AP', *(f'box {name}' for name in AP_NAMES))]
    for summary in summaries:
        shares = (summary['segm']['AP'], *(summary['bbox'][name] for name in AP_NAMES))
        rows += [(summary['boxes_from'], f'{_per_image(summary):.1f}', *(percent(share) for share in shares))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (zip(row, widths, strict=True) for row in rows)
    return '\n'.join(
        '  '.join(f'{x:<{n}}' if i == 0 else f'{x:>{n}}' for i, (x, n) in enumerate(line)) for line in lines
    )


def plot(summaries: Sequence[Summary], path: Path) -> None:
    """Draw MEInst's Figure 4: mask AP over box AP, and boxes per image; the path's suffix chooses the format."""
    figure = Figure(figsize=SIZE, layout='constrained')
    left, right = figure.subplots(1, 2)
    for summary in summaries:
        _point(left, summary)
    left.set(xlabel='box AP (%)', ylabel='mask AP (%)')
    left.grid(alpha=0.3)
    left.legend(frameon=False)
    places = range(len(summaries))
    right.bar(places, [_per_image(summary) for summary in summaries], color=[f'C{i}' for i in places])
    right.set(xticks=places, ylabel='boxes per image')
    right.set_xticklabels([_name(summary) for summary in summaries])
    write_chart(figure, path)


def _point(axes: Axes, summary: Summary) -> None:
    box, mask = (summary[kind]['AP'] for kind in ('bbox', 'segm'))
    shown = ([], []) if box is None or mask is None else ([100 * box], [100 * mask])
    axes.plot(*shown, 'o', label=f' {_name(summary)}')  # a legend leaves out what begins with an underscore


def _name(summary: Summary) -> str:
    """The file of the boxes, in a form that matplotlib takes for text."""
    return Path(summary['boxes_from']).stem.encode('utf-8', 'backslashreplace').decode().replace('$', r'\$')


def _per_image(summary: Summary) -> float:
    return summary['boxes'] / summary['images']
