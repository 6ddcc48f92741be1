"""Calibration: the scores of detections against the share of them that is right, in bins of the score.

>>> truth = read_truth(annotations)
>>> result = calibration(truth, read_detections(results, truth), iou_thr=0.5)
>>> result.write(folder)  # print(result) shows the bins

Shape shorthand: D detections, P overlapping pairs, B bins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.matching import Pairs, check_iou_thr, evaluate, overlaps
from mmagg.evaluation.scope import Scope, scope_of
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.io.tables import percent, plain, write_table
from mmagg.visualization.chart import write_chart

COLUMNS = 'low', 'high', 'detections', 'score', 'precision', 'iou'
SIZE = 6.4, 6.6  # inches
BAR, OVER, UNDER, IOU = '#4878a8', '#d1605e', '#6aa56e', '#e49444'
LOWEST = 0.7  # where the axis of counts begins, so that a bar of one detection can be seen


@dataclass(frozen=True)
class Calibration:
    """Detections by score. Those that count as neither right nor wrong are in no bin. As text: a line a bin.

    Attributes:
        scope: the files, and how much is in them.
        iou_thr: IoU of a right detection.
        edges: (B + 1,) of the bins, from 0 to 1; a score on an edge is in the bin above it.
        counts: (B,) int, detections in a bin.
        scores: (B,) mean score, nan in an empty bin.
        precision: (B,) share that is right, nan in an empty bin.
        ious: (B,) mean IoU of the right ones with their objects, nan where none is right.
        error: expected calibration error (ECE), the mean over the detections of |mean score − precision| of their bin;
            nan without detections.
        localisation_error: the same against precision × mean IoU, as the localisation-aware ECE (Oksuz et al., "Towards
            Building Self-Aware Object Detectors via Reliable Uncertainty Quantification and Calibration", CVPR 2023),
            with all classes taken together.
    """

    scope: Scope
    iou_thr: float
    edges: np.ndarray
    counts: np.ndarray
    scores: np.ndarray
    precision: np.ndarray
    ious: np.ndarray
    error: float
    localisation_error: float

    def __str__(self) -> str:
        lines = [f'{"score":>12}{"count":>9}{"mean":>7}{"right":>7}{"IoU":>7}   at IoU {self.iou_thr:g}']
        for low, high, count, *shares in self._rows():
            lines.append(f'{low:6.2f}–{high:4.2f} {count:9}' + ''.join(f'{percent(share):>7}' for share in shares))
        lines.append(
            f'expected calibration error {percent(self.error)}, against share × mean IoU '
            f'{percent(self.localisation_error)}'
        )
        return '\n'.join(lines)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        """The `COLUMNS` of each bin; None for nan."""
        columns = self.edges[:-1], self.edges[1:], self.counts, self.scores, self.precision, self.ious
        return zip(*map(plain, columns), strict=True)

    def write(self, folder: str | Path) -> None:
        """Write ``calibration.csv`` (the bins), ``calibration.json`` (bins and errors) and ``calibration.png``."""
        folder = Path(folder)
        report = {
            **self.scope._asdict(),
            'iou_thr': self.iou_thr,
            'error': plain(self.error),
            'localisation_error': plain(self.localisation_error),
            'bins': [dict(zip(COLUMNS, row, strict=True)) for row in self._rows()],
        }
        write_json(report, folder / 'calibration.json')
        write_table(COLUMNS, self._rows(), folder / 'calibration.csv')
        self.draw(folder / 'calibration.png', f'right at IoU {self.iou_thr:g}')

    def draw(self, path: Path, title: str = 'score against precision') -> None:
        """Draw the precision of each bin, its gap to the mean score, the IoU of right detections, and counts below.

        Args:
            path: the picture; its suffix chooses the format.
            title: of the chart.
        """
        figure = Figure(figsize=SIZE, layout='constrained')
        diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        filled = self.counts > 0
        edges, width = self.edges[:-1][filled], self.edges[1]
        middles = edges + width / 2
        score, precision, iou = self.scores[filled], self.precision[filled], self.ious[filled]
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
        errors = f'ECE {percent(self.error)} %, with IoU {percent(self.localisation_error)} %'
        figure.suptitle(f'{title}: {errors}', parse_math=False)
        diagram.set(ylabel='share of the detections in a bin', xlim=(0, 1), ylim=(0, 1.02))
        diagram.legend(frameon=False, ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1))
        bars = counts.bar(edges, self.counts[filled], color='#999999', edgecolor='white', **style)
        if len(edges) <= 15:
            counts.bar_label(bars, [f'{count:,}' for count in self.counts[filled]], fontsize=8, padding=1)
        counts.set_yscale('log')
        counts.set(xlabel='score', ylabel='detections', ylim=(LOWEST, 8 * max(10, self.counts.max(initial=1))))
        for axes in (diagram, counts):
            axes.grid(axis='y', alpha=0.35, linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[['top', 'right']].set_visible(False)
        write_chart(figure, path)


def calibration(
    truth: Truth, detections: Detections, *, iou_thr: float = 0.5, bins: int = 10, pairs: Pairs | None = None
) -> Calibration:
    """Compare the scores of detections with the share of them that is right.

    Args:
        truth: the annotations.
        detections: D, as `read_detections` gives them, with scores from 0 to 1.
        iou_thr: IoU of a right detection, more than 0.
        bins: B, of equal width.
        pairs: the result of `overlaps`, if it is known already.

    Raises:
        InputError: a score is not from 0 to 1, `iou_thr` is 0, or `bins` is.
    """
    check_iou_thr(iou_thr)
    if bins < 1:
        raise InputError(f'--bins {bins}: at least one is needed')
    if len(detections) and not 0 <= detections.scores.min() <= detections.scores.max() <= 1:
        where = detections.path or 'the detections'
        raise InputError(f'{where}: scores are not all from 0 to 1; they cannot be probabilities')
    pairs = overlaps(detections, truth.objects) if pairs is None else pairs
    outcome = evaluate(detections, truth.objects, pairs, thresholds=np.array([iou_thr]))
    true = outcome.true[0, 0]
    counted = true | outcome.false[0, 0]
    pairs = pairs.where(outcome.matches[0, 0][pairs.detections] == pairs.objects)
    iou = np.zeros(len(detections))
    iou[pairs.detections] = pairs.ious
    edges = np.arange(bins + 1) / bins  # linspace's 0.3 is more than 0.3
    places = np.minimum(np.searchsorted(edges, detections.scores[counted], side='right') - 1, bins - 1)

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(places, values[counted], minlength=bins)

    counts, right = np.bincount(places, minlength=bins), sums(true)
    scores, ious = sums(detections.scores), sums(iou * true)
    with np.errstate(invalid='ignore'):  # 0 / 0 is nan, as promised
        return Calibration(
            scope=scope_of(truth, detections),
            iou_thr=iou_thr,
            edges=edges,
            counts=counts,
            scores=scores / counts,
            precision=right / counts,
            ious=ious / right,
            error=float(np.abs(scores - right).sum() / counts.sum()),
            localisation_error=float(np.abs(scores - ious).sum() / counts.sum()),
        )
