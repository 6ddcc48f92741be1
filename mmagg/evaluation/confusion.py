"""The confusion matrix: objects by their class and the class that they are detected as.

>>> truth = read_truth(annotations)
>>> result = confusion(truth, read_detections(results, truth), score_thr=0.3)
>>> result.write(folder)  # print(result) shows the most frequent confusions

Shape shorthand: G objects, D detections, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth, ranks
from mmagg.evaluation.matching import check_iou_thr, match, overlaps
from mmagg.io.errors import check_fraction
from mmagg.io.tables import write_table
from mmagg.visualization.chart import write_chart
from mmagg.visualization.fonts import readable

MOST_PRINTED = 10  # confusions
MOST_CLASSES = 80  # drawn: more cannot be read
NUMBERED = 25  # up to here there is room for numbers in the cells
CELL, SMALL_CELL = (0.24, None), (0.15, 7)  # inches, and size of the names in points; small ones where there are many


@dataclass(frozen=True)
class Confusion:
    """Counts of objects and detections. As text: totals and the most frequent confusions.

    Attributes:
        matrix: (K + 1, K + 1) int. Row: class of the object, the last one for detections on background; column: class
            of the detection, the last one for missed objects.
        classes: K names.
    """

    matrix: np.ndarray
    classes: Sequence[str]

    def __str__(self) -> str:
        matrix, classes = self.matrix, self.classes
        pairs = matrix[:-1, :-1] * ~np.eye(len(classes), dtype=bool)
        right, missed, background = np.trace(matrix[:-1, :-1]), matrix[:-1, -1].sum(), matrix[-1, :-1].sum()
        lines = [f'right {right}, wrong class {pairs.sum()}, missed {missed}, on background {background}']
        for place in np.argsort(-pairs, axis=None, kind='stable')[:MOST_PRINTED]:
            row, column = np.unravel_index(place, pairs.shape)
            if pairs[row, column]:
                lines.append(f'  {classes[row]} detected as {classes[column]}: {pairs[row, column]}')
        return '\n'.join(lines)

    def write(self, folder: str | Path) -> None:
        """Write ``confusion.csv``, the counts, and ``confusion.png``."""
        folder = Path(folder)
        rows = ([name, *row] for name, row in zip([*self.classes, 'background'], self.matrix.tolist(), strict=True))
        write_table(['is / detected as', *self.classes, 'missed'], rows, folder / 'confusion.csv')
        self.draw(folder / 'confusion.png')

    def draw(self, path: Path) -> None:
        """Draw each row in per cent of its sum; of more than 80 classes, those with most entries.

        Args:
            path: of the picture; its suffix chooses the format.
        """
        matrix, classes = self.matrix, self.classes
        entries = matrix.sum(axis=0) + matrix.sum(axis=1)
        chosen = np.sort(np.argsort(-entries[:-1], kind='stable')[:MOST_CLASSES])
        shown = np.append(chosen, len(classes))
        share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        share = share[np.ix_(shown, shown)]
        cell, size = CELL if len(shown) <= NUMBERED else SMALL_CELL
        side = 3 + cell * len(shown)
        figure = Figure(figsize=(side + 1, side), layout='constrained')
        axes = figure.subplots()
        picture = axes.imshow(share, cmap='Blues', vmin=0, vmax=100)
        names = [readable(classes[place], str(place)) for place in chosen]
        axes.set_xticks(range(len(shown)), [*names, 'missed'], rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(shown)), [*names, 'background'], fontsize=size, parse_math=False)
        title = '' if len(chosen) == len(classes) else f' ({len(chosen)} of {len(classes)} classes)'
        axes.set(xlabel='detected as', ylabel='is', title=f'share of each row{title}')
        if len(shown) <= NUMBERED:
            for row, column in zip(*share.round().nonzero(), strict=True):
                value = share[row, column]
                ink = 'white' if value > 60 else 'black'
                axes.text(column, row, f'{value:.0f}', ha='center', va='center', fontsize=7, color=ink)
        figure.colorbar(picture, ax=axes, label='%', shrink=0.6)
        write_chart(figure, path)


def confusion(truth: Truth, detections: Detections, *, score_thr: float = 0.3, iou_thr: float = 0.5) -> Confusion:
    """Count objects by their class and that of the detection matched to them.

    In each image the most certain detection chooses first: of the objects that are left, whatever their class, it takes
    the one that it overlaps most. Detections in a crowd region of their class are not counted.

    Args:
        truth: G objects, K classes.
        detections: D, as `read_detections` gives them.
        score_thr: detections with a lower score are left out; from 0 to 1.
        iou_thr: least IoU of a match, more than 0.

    Raises:
        InputError: `iou_thr` is 0, or `score_thr` out of range.
    """
    check_fraction(score_thr, 'score_thr')
    check_iou_thr(iou_thr)
    objects, classes = truth.objects, len(truth.classes)
    detections = detections[detections.scores >= score_thr]
    pairs = overlaps(detections, objects)
    agree = detections.labels[pairs.detections] == objects.labels[pairs.objects]
    pairs = pairs.where(agree | ~objects.crowd[pairs.objects])
    matches = match(pairs, ranks(detections.images), objects.crowd[None], objects.crowd, np.array([iou_thr]))[0, 0]
    found = matches >= 0
    in_crowd = np.zeros(len(detections), bool)
    in_crowd[found] = objects.crowd[matches[found]]
    true_labels = np.full(len(detections), classes)
    true_labels[found] = objects.labels[matches[found]]
    missed = ~objects.crowd
    missed[matches[found]] = False
    matrix = np.zeros((classes + 1, classes + 1), int)
    np.add.at(matrix, (true_labels[~in_crowd], detections.labels[~in_crowd]), 1)
    np.add.at(matrix, (objects.labels[missed], classes), 1)
    return Confusion(matrix, truth.classes)
