"""Precision over recall as COCO interpolates it, and the score thresholds with the best F1.

>>> truth = read_truth(annotations)
>>> result = precision_recall(truth, read_detections(results, truth))
>>> result.write(folder)  # print(result) shows AP and best F1 by IoU threshold

Shape shorthand: K classes, G objects, D detections, T IoU thresholds, R = 101 recalls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.average_precision import RECALLS, mean_over_classes
from mmagg.evaluation.matching import THRESHOLDS, Outcome, Pairs, evaluate, overlaps
from mmagg.evaluation.scope import Scope, scope_of
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.tables import percent, plain, write_table
from mmagg.visualization.chart import write_chart
from mmagg.visualization.fonts import readable

PANEL = 5.6, 3.9  # inches
COLUMNS = 3
SHADES = 0.22, 0.95  # ends of the colour map: its first colours are too close to white


class Curves(NamedTuple):
    """Precision at the recalls `RECALLS`; nan where a class has no object.

    Attributes:
        precision: (T, K, R), the largest at this recall or a higher one, 0 where it is not reached. Its mean over R is
            the AP.
        scores: (T, K, R), of the detection that reaches the recall, nan where none does.
    """

    precision: np.ndarray
    scores: np.ndarray


class BestF1(NamedTuple):
    """The best F1, in arrays (T, K + 1): the last column counts the detections of all classes together.

    Attributes:
        scores: the threshold; detections of this score or more are kept; nan where none is right.
        f1: of the kept detections; nan where there is no object.
        precision: of the kept detections; nan where there is no object.
        recall: of the kept detections; nan where there is no object.
    """

    scores: np.ndarray
    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class PrecisionRecall:
    """Curves and best F1 at COCO's IoU thresholds. As text: a line a threshold.

    Attributes:
        scope: the files, and how much is in them.
        classes: K names.
        curves: of each class.
        best: best F1 of each class and of all.
        shown: names of classes to draw, one a panel, and to add to the text; none: the mean of all classes is drawn.
    """

    scope: Scope
    classes: Sequence[str]
    curves: Curves
    best: BestF1
    shown: Sequence[str] = ()

    def mean(self) -> np.ndarray:
        """(T, R) precision, the mean over the classes that have objects."""
        return mean_over_classes(self.curves.precision.swapaxes(1, 2))

    def __str__(self) -> str:
        lines = [str(self.scope), f'{"IoU":>6}{"AP":>8}{"best F1":>9}   with score, precision, recall']
        for place, (threshold, ap) in enumerate(zip(THRESHOLDS, self.mean().mean(axis=1), strict=True)):
            lines.append(f'{threshold:6.2f}{percent(ap):>8}{self._best(place, -1)}')
        for name, label in self._shown().items():
            lines.append(f'{THRESHOLDS[0]:6.2f}{"":8}{self._best(0, label)}   {name}')
        return '\n'.join(lines)

    def _shown(self) -> dict[str, int]:
        """The label of each class that is shown, by name."""
        return {name: self.classes.index(name) for name in self.shown}

    def _best(self, threshold: int, label: int) -> str:
        score, f1, precision, recall = (values[threshold, label] for values in self.best)
        return f'{percent(f1):>9}' + (f'   {score:.3f}, {percent(precision)}, {percent(recall)}' if f1 > 0 else '')

    def write(self, folder: str | Path) -> None:
        """Write ``precision_recall.csv`` (each class), ``precision_recall.json`` (all) and ``precision_recall.png``."""
        folder = Path(folder)
        mean = self.mean()
        report = {
            **self.scope._asdict(),
            'iou_thresholds': THRESHOLDS.round(2).tolist(),
            'recalls': RECALLS.round(2).tolist(),
            'ap': plain(mean.mean(axis=1)),
            'precision': plain(mean),
            'best_f1': {name: plain(values[:, -1]) for name, values in self.best._asdict().items()},
        }
        write_json(report, folder / 'precision_recall.json')
        columns = ['class', 'iou_thr', 'ap', *(f'best_f1_{name}' for name in BestF1._fields)]
        columns += [f'precision_at_{recall:.2f}' for recall in RECALLS]
        write_table(columns, self._rows(), folder / 'precision_recall.csv')
        self.draw(folder / 'precision_recall.png')

    def _rows(self) -> Iterator[list[Any]]:
        """The CSV file's rows, as fractions: those of all classes (''), then those of each class that has objects."""
        precision = np.concatenate([self.mean()[:, None], self.curves.precision], axis=1)
        f1 = np.roll(np.stack(self.best), 1, axis=-1)  # the numbers of all classes come first here
        for label, name in enumerate(['', *self.classes]):
            for place, threshold in enumerate(THRESHOLDS):
                values = precision[place, label]
                if not np.isnan(values).any():
                    numbers = [values.mean(), *f1[:, place, label], *values]
                    yield [name, f'{threshold:.2f}', *plain(np.array(numbers).round(6))]

    def draw(self, path: Path) -> None:
        """Draw the area below each curve, the strictest threshold on top, with its AP in the legend.

        Args:
            path: of the picture; its suffix chooses the format.
        """
        panels = {readable(name, str(label)): self.curves.precision[:, label] for name, label in self._shown().items()}
        panels = panels or {'all classes': self.mean()}
        columns = min(COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout='constrained')
        grid = figure.subplots(rows, columns, squeeze=False).flatten()
        colours = matplotlib.colormaps['YlGnBu'](np.linspace(*SHADES, len(THRESHOLDS)))
        for axes, (title, precision) in zip(grid, panels.items(), strict=False):
            recalls = np.linspace(0, 100, precision.shape[1])
            for threshold, values, colour in zip(THRESHOLDS, 100 * precision, colours, strict=True):
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
                axes.legend(
                    title='IoU     AP (%)', loc='center left', bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9
                )
            else:
                axes.text(50, 50, 'no objects', ha='center', va='center', color='grey')
        for axes in grid[len(panels) :]:
            axes.remove()
        write_chart(figure, path)


def check_classes(truth: Truth, names: Sequence[str]) -> None:
    """Raises InputError for a name that is none of the classes, with the most similar ones."""
    for name in names:
        if name not in truth.classes:
            closest = ', '.join(get_close_matches(name, truth.classes, cutoff=0))
            raise InputError(f'--class {name}: not in {truth.path}; the most similar are {closest}')


def precision_recall(
    truth: Truth, detections: Detections, *, shown: Sequence[str] = (), pairs: Pairs | None = None
) -> PrecisionRecall:
    """The curves of each class, and the score thresholds with the best F1.

    Args:
        truth: K classes, G objects.
        detections: D, as `read_detections` gives them.
        shown: names of classes to draw in the place of the mean.
        pairs: the result of `overlaps`, if it is known already.

    Raises:
        InputError: a name in `shown` is none of the classes.
    """
    check_classes(truth, shown)
    pairs = overlaps(detections, truth.objects) if pairs is None else pairs
    outcome = evaluate(detections, truth.objects, pairs)
    curves, best = curves_of(truth, detections, outcome), best_f1(truth, detections, outcome)
    return PrecisionRecall(scope_of(truth, detections), truth.classes, curves, best, shown)


def curves_of(truth: Truth, detections: Detections, outcome: Outcome) -> Curves:
    """The curves of each class as in COCO's evaluation, from the first size range of an outcome of `evaluate`."""
    shape = outcome.true.shape[1], len(truth.classes), len(RECALLS)
    curves = Curves(np.full(shape, np.nan), np.full(shape, np.nan))
    totals = _totals(truth, outcome)
    for label in np.flatnonzero(totals):
        mine = np.flatnonzero(detections.labels == label)
        found, seen = _counts(outcome, mine)
        precision = found / np.maximum(seen, 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        for threshold, recall in enumerate(found / totals[label]):
            places = np.searchsorted(recall, RECALLS)
            reached = places < len(mine)
            places = places[reached]
            curves.precision[threshold, label] = 0
            curves.precision[threshold, label, reached] = precision[threshold, places]
            curves.scores[threshold, label, reached] = detections.scores[mine[places]]
    return curves


def best_f1(truth: Truth, detections: Detections, outcome: Outcome) -> BestF1:
    """The best F1 (the harmonic mean of precision and recall) in the first size range of an outcome of `evaluate`."""
    thresholds, classes = np.arange(outcome.true.shape[1]), len(truth.classes)
    best = BestF1(*np.full((4, len(thresholds), classes + 1), np.nan))
    totals = _totals(truth, outcome)
    for label, total in enumerate([*totals, totals.sum()]):
        if not total:
            continue
        mine = np.flatnonzero(detections.labels == label) if label < classes else np.arange(len(detections))
        scores = detections.scores[mine]
        # A threshold takes all detections of a score or none. Place 0: none at all.
        last = np.append(0, np.flatnonzero(np.diff(scores, append=-np.inf)) + 1)
        found, seen = (np.pad(counts, ((0, 0), (1, 0)))[:, last] for counts in _counts(outcome, mine))
        f1 = 2 * found / (seen + total)
        chosen = f1.argmax(axis=1)
        values = np.append(np.nan, scores)[last], f1, found / np.maximum(seen, 1), found / total
        for result, value in zip(best, values, strict=True):
            result[:, label] = np.broadcast_to(value, f1.shape)[thresholds, chosen]
    return best


def _totals(truth: Truth, outcome: Outcome) -> np.ndarray:
    """(K,) numbers of objects to be found."""
    return np.bincount(truth.objects.labels[outcome.expected[0]], minlength=len(truth.classes))


def _counts(outcome: Outcome, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, n) numbers of right detections and of counted ones among the first 1, 2, … n of ``mine``."""
    true, false = outcome.true[0][:, mine], outcome.false[0][:, mine]
    return np.cumsum(true, axis=1), np.cumsum(true | false, axis=1)
