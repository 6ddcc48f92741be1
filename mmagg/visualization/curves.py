"""Losses, validation results, learning rate and gradients over the iterations of a training, from mmengine's log."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SCALARS = '*/vis_data/scalars.json'  # one a start, below a folder named by the time, so they sort
NAMES = {'bbox': 'box', 'segm': 'mask', 'boundary': 'boundary'}
SIZE, DPI = (14, 4.2), 110  # inches, dots per inch
WIDTHS = (4, 4, 3)  # of the panels

Record = dict[str, Any]  # `kind` is text, all else are numbers


def read_scalars(work_dir: Path) -> list[Record]:
    """The log records of a training in order, also if it was resumed.

    Records of an interrupted run are left out if they are later than the checkpoint that the next run went on from;
    all of them are if the next run started from the beginning. mmengine numbers validations by epoch; here each has the
    iteration of the last training record before it, which is too small by less than the logging interval. Records of
    validation losses hold their own iteration.

    Args:
        work_dir: the training's work dir.

    Returns:
        A dict a record: ``iter``, ``kind`` (train or val) and the numbers under mmengine's names.

    Raises:
        FileNotFoundError: there is no log in ``work_dir``.
    """
    paths = sorted(work_dir.glob(SCALARS))
    if not paths:
        raise FileNotFoundError(f'{work_dir}: no training log ({SCALARS}) in it')
    records: list[Record] = []
    for path in paths:
        lines = read_lines(path)
        first = next((line['step'] for line in lines if _kind(line) == 'train'), math.inf)
        records = [] if starts_anew(path) else [record for record in records if record['iter'] < first]
        for line in lines:
            last = records[-1]['iter'] if records else 0
            numbers = {key: value for key, value in line.items() if key not in ('iter', 'step')}
            iteration = line['step'] if _kind(line) == 'train' else line.get('iter', last)
            records.append({'iter': iteration, 'kind': _kind(line), **numbers})
    return records


def starts_anew(path: Path) -> bool:
    """True if the config that mmengine writes beside a log says that nothing was resumed."""
    config = path.with_name('config.py')
    return config.is_file() and re.search(r'^resume = False$', config.read_text(encoding='utf-8'), re.M) is not None


def read_lines(path: Path) -> list[Record]:
    """The file's JSON lines; the last one may have been cut off by a kill."""
    *whole, last = path.read_text(encoding='utf-8').split('\n')
    lines = [json.loads(line) for line in whole]
    try:
        return [*lines, json.loads(last)]
    except json.JSONDecodeError:
        return lines


def _kind(line: Record) -> str:
    return 'train' if is_training(line) else 'val'


def is_training(line: Record) -> bool:
    """True for the record of a training's iteration, False for that of a validation."""
    return 'loss' in line


def plot_curves(records: Sequence[Record], path: Path) -> None:
    """Draw the losses of training and, dashed, of validation; the validation AP in per cent; rate and gradients.

    Args:
        records: from `read_scalars`.
        path: of the picture; its suffix chooses the format.
    """
    figure = Figure(figsize=SIZE, layout='constrained')
    grid = figure.add_gridspec(2, 3, width_ratios=WIDTHS)
    losses, precision = (figure.add_subplot(grid[:, column]) for column in (0, 1))
    rate, gradients = (figure.add_subplot(grid[row, 2]) for row in (0, 1))
    train = [record for record in records if record['kind'] == 'train']
    val = [record for record in records if record['kind'] == 'val']
    names = dict.fromkeys(key for record in train for key in record if key.startswith('loss'))
    for colour, key in enumerate(names):
        label = 'total' if key == 'loss' else key.removeprefix('loss_')
        style: dict[str, Any] = {'color': f'C{colour % 10}', 'linewidth': 2 if key == 'loss' else 1.2}
        _line(losses, train, key, 1, label=label, **style)
        _line(losses, val, f'val/{key}', 1, linestyle='--', marker='.', **style)
    for colour, (metric, name) in enumerate(NAMES.items()):
        for suffix, look in (('', {}), ('_50', {'linestyle': '--', 'markerfacecolor': 'white'})):
            label = f'{name} AP{suffix[1:]}'
            key = f'coco/{metric}_mAP{suffix}'
            _line(precision, val, key, 100, label=label, marker='o', color=f'C{colour}', **look)
    _line(rate, train, 'lr', 1, color='dimgrey')
    _line(gradients, train, 'grad_norm', 1, color='dimgrey', linewidth=1)
    if any('val/loss' in record for record in val):
        losses.plot([], [], 'k--', marker='.', label='validation')
    _finish(losses, 'loss', 'loss')
    _finish(precision, 'validation AP', 'AP (%)')
    _finish(rate, 'learning rate', '')
    _finish(gradients, 'gradient norm', '')
    figure.savefig(path, dpi=DPI)


def _line(axes: Axes, records: Sequence[Record], key: str, scale: float, **style: Any) -> None:
    """One curve, unless there are no numbers; COCO's -1 stands for no value."""
    points = [(r['iter'], scale * r[key]) for r in records if key in r and r[key] >= 0]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _finish(axes: Axes, title: str, unit: str) -> None:
    axes.set(title=title, xlabel='iteration', ylabel=unit)
    axes.set_xlim(left=0)
    axes.locator_params('x', integer=True)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.set_ylim(bottom=0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, 'nothing recorded', transform=axes.transAxes, ha='center', color='grey')
