"""Error analysis: AP with true outlines (SOLO, Table 7), and the AP that each kind of error costs, much as in TIDE.

>>> truth = read_truth(annotations)
>>> result = error_analysis(truth, read_detections(results, truth), iou_thr=0.5)
>>> result.write(folder)  # print(result) shows both tables

TIDE: Bolya et al., "A General Toolbox for Identifying Object Detection Errors", ECCV 2020.

Shape shorthand: G objects, D detections, P overlapping pairs, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes
from mmagg.evaluation.matching import THRESHOLDS, Outcome, Pairs, evaluate, most_overlapped, overlaps, same_class
from mmagg.evaluation.scope import Scope, scope_of
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.tables import percent, plain, write_table
from mmagg.rle.codes import rle_area
from mmagg.visualization.chart import write_chart

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
BACKGROUND = 0.1  # IoU; a detection that overlaps no object by this is on background
SIZE = 13, 4.2  # inches


@dataclass(frozen=True)
class KindOfError:
    """The number of errors of a kind, and the AP that fixing them alone gains."""

    count: int
    gain: float


@dataclass(frozen=True)
class ErrorAnalysis:
    """AP with true outlines, and kinds of errors. AP is a fraction, nan where nothing is annotated. As text: tables.

    Attributes:
        scope: the files, and how much is in them.
        as_predicted: AP, AP50 and AP75.
        true_outlines: the same with each outline replaced by that of the object that it overlaps most.
        iou_thr: IoU of a right detection for ``ap`` and ``errors``.
        ap: AP at ``iou_thr``.
        errors: for each of `KINDS` its number, and the gain in ``ap`` if it alone is fixed.
    """

    scope: Scope
    as_predicted: Mapping[str, float]
    true_outlines: Mapping[str, float]
    iou_thr: float
    ap: float
    errors: Mapping[str, KindOfError]

    def __str__(self) -> str:
        lines = [
            str(self.scope),
            f'{"":16}' + ''.join(f'{name:>8}' for name in self.as_predicted),
            *(
                f'{name:16}' + ''.join(f'{percent(value):>8}' for value in values.values())
                for name, values in (('as predicted', self.as_predicted), ('true outlines', self.true_outlines))
            ),
            f'{"errors":16}{"count":>8}{"gain":>8}   of AP at IoU {self.iou_thr:g}, now {percent(self.ap)}',
            *(f'{kind:16}{error.count:8}{percent(error.gain):>8}' for kind, error in self.errors.items()),
        ]
        return '\n'.join(lines)

    def write(self, folder: str | Path) -> None:
        """Write ``error_analysis.json``, ``error_analysis.csv`` and ``error_analysis.png``; fractions."""
        folder = Path(folder)
        aps = {
            part: {name: plain(value) for name, value in getattr(self, part).items()}
            for part in ('as_predicted', 'true_outlines')
        }
        errors = {kind: {'count': error.count, 'gain': plain(error.gain)} for kind, error in self.errors.items()}
        report = {**self.scope._asdict(), **aps, 'iou_thr': self.iou_thr, 'ap': plain(self.ap), 'errors': errors}
        write_json(report, folder / 'error_analysis.json')
        rows: list[tuple] = [(part, name, '', value) for part, values in aps.items() for name, value in values.items()]
        rows += [('errors', kind, *error.values()) for kind, error in errors.items()]
        write_table(('part', 'name', 'count', 'value'), rows, folder / 'error_analysis.csv')
        self.draw(folder / 'error_analysis.png')

    def draw(self, path: Path) -> None:
        """Draw AP with true outlines, and kinds of errors, as bars.

        Args:
            path: of the picture; its suffix chooses the format.
        """
        figure = Figure(figsize=SIZE, layout='constrained')
        replaced, counts, gains = figure.subplots(1, 3)
        for offset, aps, label in (
            (-0.2, self.as_predicted, 'as predicted'),
            (0.2, self.true_outlines, 'true outlines'),
        ):
            values = [100 * np.nan_to_num(value) for value in aps.values()]
            bars = replaced.bar([place + offset for place in range(len(values))], values, 0.38, label=label)
            replaced.bar_label(bars, fmt='%.1f')
        replaced.set_xticks(range(len(self.as_predicted)), list(self.as_predicted))
        replaced.set(title='outlines replaced by the truth', ylabel='AP (%)', ylim=(0, 112))
        replaced.legend(frameon=False, ncols=2, loc='upper center')
        _bars(counts, {kind: error.count for kind, error in self.errors.items()}, '%d')
        counts.set(title='errors', xlabel='count')
        _bars(gains, {kind: 100 * np.nan_to_num(error.gain) for kind, error in self.errors.items()}, '%.1f')
        gains.set(title=f'gain if fixed alone (now {percent(self.ap)})', xlabel=f'AP at IoU {self.iou_thr:g} (%)')
        write_chart(figure, path)


def _bars(axes: Axes, values: Mapping[str, float], form: str) -> None:
    bars = axes.barh(list(values), list(values.values()), color=[f'C{place}' for place in range(len(values))])
    axes.bar_label(bars, fmt=form, padding=3)
    axes.set_xlim(min(0, *values.values()), max(1, *values.values()) * 1.18)
    axes.invert_yaxis()


def check_background(iou_thr: float) -> None:
    """Raises InputError for an IoU of a right detection at which it would be `BACKGROUND` as well."""
    if iou_thr <= BACKGROUND:
        raise InputError(f'--iou-thr {iou_thr}: must be more than {BACKGROUND}, below which a detection is background')


def error_analysis(
    truth: Truth, detections: Detections, *, iou_thr: float = 0.5, pairs: Pairs | None = None
) -> ErrorAnalysis:
    """AP with true outlines, and the kinds of errors of detections.

    Args:
        truth: the annotations.
        detections: D, as `read_detections` gives them.
        iou_thr: IoU of a right detection for the kinds of errors, more than `BACKGROUND`.
        pairs: the result of `overlaps`, if it is known already.

    Raises:
        InputError: `iou_thr` is too small.
    """
    check_background(iou_thr)
    objects = truth.objects
    pairs = overlaps(detections, objects) if pairs is None else pairs
    replaced = with_true_outlines(detections, objects, pairs)
    ap, errors = kinds_of_errors(truth, detections, pairs, iou_thr=iou_thr)
    return ErrorAnalysis(
        scope=scope_of(truth, detections),
        as_predicted=summary(truth, detections, pairs),
        true_outlines=summary(truth, replaced, overlaps(replaced, objects)),
        iou_thr=iou_thr,
        ap=ap,
        errors=errors,
    )


def summary(truth: Truth, detections: Detections, pairs: Pairs) -> dict[str, float]:
    """AP, AP50 and AP75, as fractions; nan where nothing is annotated."""
    outcome = evaluate(detections, truth.objects, pairs)
    values = mean_over_classes(average_precision(truth, detections, outcome)[0, 0])
    return {'AP': values.mean(), 'AP50': values[0], 'AP75': values[np.isclose(THRESHOLDS, 0.75)].item()}


def with_true_outlines(detections: Detections, objects: Objects, pairs: Pairs) -> Detections:
    """Replace each outline by that of the object of its class that it overlaps most (SOLO, section 3.5).

    A detection that overlaps no such object keeps its own outline, and so does one that lies in a crowd region more
    than on any object: it does not count, with and without the replacement.
    """
    pairs = same_class(pairs, detections, objects)
    _, best = most_overlapped(pairs, len(detections))
    mine = np.flatnonzero(best >= 0)
    mine = mine[~objects.crowd[best[mine]]]
    best = best[mine]
    outlines, areas = detections.outlines.copy(), detections.areas.copy()
    outlines[mine] = objects.outlines[best]
    if outlines.ndim == 1:
        areas[mine] = [rle_area(rle) for rle in outlines[mine]]
    else:
        areas[mine] = outlines[mine, 2:].prod(axis=1)
    return replace(detections, outlines=outlines, areas=areas)


class Errors(NamedTuple):
    """The errors among detections.

    Attributes:
        kinds: (D,) str of `KINDS`; '' where a detection is right or not counted.
        targets: (D,) int, the object that a wrong class or place was meant for; -1 for other errors.
        missed: (G,) bool: objects that no detection found, and none of a wrong class or place.
    """

    kinds: np.ndarray
    targets: np.ndarray
    missed: np.ndarray


def sort_errors(outcome: Outcome, detections: Detections, objects: Objects, pairs: Pairs, *, iou_thr: float) -> Errors:
    """Sort wrong detections and missed objects into kinds (TIDE, section 2.2).

    A wrong detection that overlaps an object of its class by `BACKGROUND` to ``iou_thr`` at best is localisation;
    otherwise one that overlaps an object of another class by ``iou_thr`` is classification; one that overlaps an
    object of its class by ``iou_thr``, which a more certain one has found, is a duplicate; one that overlaps nothing
    by `BACKGROUND` is background; the rest is both.

    ``outcome`` is that of `evaluate` at the IoU ``iou_thr`` alone, ``pairs`` the result of `overlaps`.
    """
    wrong, matches = outcome.false[0, 0], outcome.matches[0, 0]
    pairs = pairs.where(~objects.crowd[pairs.objects])
    agree = detections.labels[pairs.detections] == objects.labels[pairs.objects]
    own_iou, own = most_overlapped(pairs.where(agree), len(detections))
    other_iou, other = most_overlapped(pairs.where(~agree), len(detections))
    kinds = np.select(
        [
            ~wrong,
            (own_iou >= BACKGROUND) & (own_iou < iou_thr),
            other_iou >= iou_thr,
            own_iou >= iou_thr,
            np.maximum(own_iou, other_iou) < BACKGROUND,
        ],
        ['', 'localisation', 'classification', 'duplicate', 'background'],
        'both',
    )
    targets = np.select([kinds == 'localisation', kinds == 'classification'], [own, other], -1)
    missed = outcome.expected[0].copy()
    missed[matches[matches >= 0]] = False
    missed[targets[targets >= 0]] = False
    return Errors(kinds, targets, missed)


def kinds_of_errors(
    truth: Truth, detections: Detections, pairs: Pairs, *, iou_thr: float
) -> tuple[float, dict[str, KindOfError]]:
    """AP at one IoU threshold, and for each kind of errors its number and the gain in that AP if it alone is fixed.

    Fixing (TIDE, section 2.3): of the detections of a wrong class or place, the most certain one of each object that
    is not found yet is corrected, and the others are removed; so are all other wrong detections; missed objects are no
    longer to be found.

    Args: as of `error_analysis`.
    """
    outcome = evaluate(detections, truth.objects, pairs, thresholds=np.array([iou_thr]))
    errors = sort_errors(outcome, detections, truth.objects, pairs, iou_thr=iou_thr)
    before = average_precision(truth, detections, outcome)[0, 0, 0]
    flawless = np.bincount(detections.labels[outcome.false[0, 0]], minlength=len(truth.classes)) == 0
    kinds = {}
    for kind in KINDS:
        better, corrected = fixed(kind, errors, outcome, detections, truth.objects)
        after = average_precision(truth, corrected, better)[0, 0, 0]
        # A class may have no object left to be found: then it is perfect unless something wrong is detected.
        after = np.where(np.isnan(after) & ~np.isnan(before), flawless, after)
        count = errors.missed.sum() if kind == 'missed' else (errors.kinds == kind).sum()
        kinds[kind] = KindOfError(int(count), float(mean_over_classes(after) - mean_over_classes(before)))
    return float(mean_over_classes(before)), kinds


def fixed(
    kind: str, errors: Errors, outcome: Outcome, detections: Detections, objects: Objects
) -> tuple[Outcome, Detections]:
    """The outcome and the detections without the errors of one kind."""
    if kind == 'missed':
        return outcome._replace(expected=outcome.expected & ~errors.missed), detections
    mine = errors.kinds == kind
    false = outcome.false & ~mine
    matches = outcome.matches[0, 0]
    unfound = np.ones(len(objects) + 1, bool)
    unfound[matches[matches >= 0]] = False
    meant = np.flatnonzero(mine & (errors.targets >= 0) & unfound[errors.targets])
    targets, first = np.unique(errors.targets[meant], return_index=True)  # the first is the most certain
    corrected = meant[first]
    true, labels = outcome.true.copy(), detections.labels.copy()
    true[..., corrected] = True
    labels[corrected] = objects.labels[targets]
    return outcome._replace(true=true, false=false), replace(detections, labels=labels)
