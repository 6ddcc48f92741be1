"""AP of objects by their size, and by their coverage: AggMask, Figure 6, shows crowded scenes.

>>> truth = read_truth(annotations)
>>> result = ap_by_group(truth, read_detections(results, truth), edges=[0, 0.1, 0.3])
>>> result.write(folder)  # print(result) shows a line a group

Coverage (`mmagg.evaluation.coverage`) is treated as COCO treats size. A group counts its own objects; a detection that
is matched to an object of another group does not count in it. One that is matched to nothing is wrong in one group
alone, that of its own coverage: the share of its box that annotated objects cover, except the one that it overlaps
most. So a second detection of a lone object counts in the group of lone objects, and one in a crowd in that of the
crowd. If unmatched detections counted in all groups, those of the large groups would dominate the AP of the small ones.

Shape shorthand: I images, K classes, G objects, D detections, A groups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.average_precision import average_precision, mean_over_classes
from mmagg.evaluation.coverage import boxes_of, coverage
from mmagg.evaluation.matching import (
    SIZES,
    THRESHOLDS,
    Outcome,
    Pairs,
    evaluate,
    evaluate_groups,
    most_overlapped,
    overlaps,
)
from mmagg.evaluation.scope import Scope, scope_of
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.tables import percent, plain, write_table
from mmagg.visualization.chart import write_chart

EDGES = (0.0, 0.1, 0.3)
LABELS = "size (COCO's areas)", "share of an object's box that others cover"
HEIGHT, GROUP, MARGIN = 4.2, 1.5, 0.6  # inches; GROUP is the width of one
BARS = {'AP': '#2b6ca3', 'AP50': '#a9d3e5', 'AP75': '#6aaed6', 'AR': '#e8a66c'}
WIDTH = 0.21  # of a bar; groups are 1 apart


class GroupScores(NamedTuple):
    """Scores of groups in arrays (A, K + 1), whose last column is the mean over the classes, or the sum of objects.

    Attributes:
        ap: nan where the group has no such object.
        ap50: AP at IoU 0.5.
        ap75: AP at IoU 0.75.
        ar: share of the objects that is found, mean over the thresholds.
        objects: int, number of objects.
    """

    ap: np.ndarray
    ap50: np.ndarray
    ap75: np.ndarray
    ar: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True)
class ApByGroup:
    """Scores by size and by coverage. As text: a line a group.

    Attributes:
        scope: the files, and how much is in them.
        classes: K names.
        edges: of the groups by coverage, as in `by_coverage`.
        size: scores of COCO's `SIZES`.
        coverage: scores of the groups by coverage.
    """

    scope: Scope
    classes: Sequence[str]
    edges: Sequence[float]
    size: GroupScores
    coverage: GroupScores

    def groups(self) -> dict[str, tuple[list[str], GroupScores]]:
        """The names of the groups, and their scores, by ``size`` and by ``coverage``."""
        return {'size': (list(SIZES), self.size), 'coverage': (coverage_names(self.edges), self.coverage)}

    def __str__(self) -> str:
        lines = []
        for kind, (names, scores) in self.groups().items():
            lines.append(f'{kind:12}{"AP":>8}{"AP50":>8}{"AP75":>8}{"AR":>8}{"objects":>10}')
            for place, name in enumerate(names):
                *shares, count = (values[place, -1].item() for values in scores)
                lines.append(f'{name:12}' + ''.join(f'{percent(share):>8}' for share in shares) + f'{count:10}')
        return '\n'.join(lines)

    def write(self, folder: str | Path) -> None:
        """Write ``ap_by_group.csv`` (with classes), ``ap_by_group.json`` (without) and ``ap_by_group.png``."""
        folder = Path(folder)
        report = {**self.scope._asdict(), 'coverage_edges': list(self.edges)}
        for kind, (names, scores) in self.groups().items():
            columns = [plain(values[:, -1]) for values in scores]
            fields = 'group', *GroupScores._fields
            report[kind] = [dict(zip(fields, row, strict=True)) for row in zip(names, *columns, strict=True)]
        write_json(report, folder / 'ap_by_group.json')
        write_table(('by', 'group', 'class', *GroupScores._fields), self._rows(), folder / 'ap_by_group.csv')
        self.draw(folder / 'ap_by_group.png')

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        """The CSV file's rows, as fractions: of each group the mean over the classes (''), then each class in it."""
        for kind, (names, scores) in self.groups().items():
            for place, name in enumerate(names):
                for label in (-1, *scores.objects[place, :-1].nonzero()[0]):
                    values = (plain(values[place, label]) for values in scores)
                    yield kind, name, '' if label == -1 else self.classes[label], *values

    def draw(self, path: Path, labels: Sequence[str] = LABELS) -> None:
        """Draw AP, AP50, AP75 and AR of each group, and the number of its objects.

        Args:
            path: of the picture; its suffix chooses the format.
            labels: of the axes by size and by coverage.
        """
        groups = self.groups().values()
        widths = [MARGIN + GROUP * len(names) for names, _ in groups]
        figure = Figure(figsize=(sum(widths), HEIGHT), layout='constrained')
        grid = figure.subplots(1, len(groups), width_ratios=widths, sharey=True, squeeze=False)[0]
        for axes, label, (names, scores) in zip(grid, labels, groups, strict=True):
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
        write_chart(figure, path)


def check_edges(edges: Sequence[float]) -> None:
    """Raises InputError for ends of groups that do not ascend, or reach 1."""
    if not edges or any(low >= high for low, high in pairwise([*edges, 1])):
        raise InputError(f'--edges {" ".join(f"{edge:g}" for edge in edges)}: must ascend and be less than 1')


def ap_by_group(
    truth: Truth, detections: Detections, *, edges: Sequence[float] = EDGES, pairs: Pairs | None = None
) -> ApByGroup:
    """Scores of objects by size and by coverage.

    Args:
        truth: I images, K classes, G objects.
        detections: D, as `read_detections` gives them.
        edges: of the groups by coverage, as in `by_coverage`.
        pairs: the result of `overlaps`, if it is known already.

    Raises:
        InputError: `edges` do not ascend within [0, 1), or there are none.
    """
    check_edges(edges)
    pairs = overlaps(detections, truth.objects) if pairs is None else pairs
    size, cover = by_size(truth, detections, pairs), by_coverage(truth, detections, pairs, edges=edges)
    return ApByGroup(scope_of(truth, detections), truth.classes, edges, size, cover)


def by_size(truth: Truth, detections: Detections, pairs: Pairs) -> GroupScores:
    """Scores of COCO's `SIZES`, the first of which is all; arguments as in `by_coverage`."""
    outcome = evaluate(detections, truth.objects, pairs, sizes=list(SIZES.values()))
    return group_scores(truth, detections, outcome)


def by_coverage(truth: Truth, detections: Detections, pairs: Pairs, *, edges: Sequence[float] = EDGES) -> GroupScores:
    """Scores by coverage, as the module's docstring explains.

    Args:
        truth: I images, K classes, G objects.
        detections: D, as `Detections.counted` gives them.
        pairs: from `overlaps`.
        edges: A − 1 upper ends of the groups, in [0, 1), ascending; each belongs to its group, and the last group has
            the objects with more coverage.
    """
    objects = truth.objects
    own = most_overlapped(pairs.where(~objects.crowd[pairs.objects]), len(detections))[1]
    own = np.append(np.arange(len(objects)), own)
    boxes = np.concatenate([boxes_of(objects.outlines), boxes_of(detections.outlines)])
    shares = coverage(boxes, np.append(objects.images, detections.images), own, objects)
    elsewhere = np.arange(len(edges) + 1)[:, None] != np.digitize(shares.round(9), edges, right=True)
    outside, strange = np.split(elsewhere, [len(objects)], axis=1)
    outcome = evaluate_groups(detections, objects, pairs, outside=outside, strange=strange)
    return group_scores(truth, detections, outcome)


def group_scores(truth: Truth, detections: Detections, outcome: Outcome) -> GroupScores:
    """Scores of A groups from their outcome, by `evaluate` or `evaluate_groups`, at the thresholds of COCO."""
    labels, classes = truth.objects.labels, len(truth.classes)
    ap = average_precision(truth, detections, outcome)[0]
    counts = np.array([np.bincount(labels[expected], minlength=classes) for expected in outcome.expected])
    found = np.array(
        [[np.bincount(detections.labels[true], minlength=classes) for true in group] for group in outcome.true]
    )
    ar = found.mean(axis=1) / np.where(counts, counts, np.nan)
    values = ap.mean(axis=1), ap[:, 0], ap[:, np.isclose(THRESHOLDS, 0.75).argmax()], ar
    ap, ap50, ap75, ar = (np.concatenate([value, mean_over_classes(value)[:, None]], axis=1) for value in values)
    return GroupScores(ap, ap50, ap75, ar, np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1))


def coverage_names(edges: Sequence[float]) -> list[str]:
    """Names of the groups of `by_coverage`."""
    ends = [f'{100 * edge:g}' for edge in edges]
    first = '0 %' if edges[0] == 0 else f'up to {ends[0]} %'
    between = [f'{low}–{high} %' for low, high in pairwise(ends)]
    return [first, *between, f'over {ends[-1]} %']


def _objects(count: int) -> str:
    return '1 object' if count == 1 else f'{count:,} objects'
