"""Two result files on the same images: a paired bootstrap of ΔAP, and the images that changed most.

>>> truth = read_truth(annotations)
>>> result = compare(truth, read_detections(results, truth), read_detections(others, truth), samples=100)
>>> result.write(folder)  # print(result) shows AP by size, and the images that changed most

Shape shorthand: I images, K classes, G objects, D detections, A size ranges, T IoU thresholds, S samples of images.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.bootstrap import Differences, Judged, bootstrap, judge
from mmagg.evaluation.matching import SIZES
from mmagg.evaluation.result_pictures import side_by_side
from mmagg.evaluation.scope import scope_of
from mmagg.io.errors import check_fraction
from mmagg.io.files import write_json
from mmagg.io.images import write_image
from mmagg.io.tables import percent, plain, write_table
from mmagg.visualization.chart import write_chart
from mmagg.visualization.fonts import readable

CLASSES_DRAWN = 20  # those with the largest differences
PANEL_SIDE = 640  # pixels; three panels fit on a screen
WIDTH, LINE = 8, 0.28  # inches
BETTER, WORSE, OPEN = '#2a7f3f', '#b3352b', '#666666'

Row = TypedDict(
    'Row',
    {
        'class': str,
        'size': str,
        'images': int,
        'ap_a': float | None,
        'ap_b': float | None,
        'delta': float | None,
        'low': float | None,
        'high': float | None,
        'samples_above_0': float | None,
    },
)


class Change(NamedTuple):
    """The change of an image's detections from A to B.

    Attributes:
        image: its index.
        change: the absolute differences of the scores with which each object is found, plus that of the sum of the
            scores of wrong detections, both averaged over the IoU thresholds.
        better: the same with signs: more than 0 where objects are found with higher scores or less is wrong.
        gained: number of objects that only B finds, at IoU 0.5.
        lost: number of objects that only A finds, at IoU 0.5.
        wrong_a: number of wrong detections of A, at IoU 0.5.
        wrong_b: number of wrong detections of B, at IoU 0.5.
    """

    image: int
    change: float
    better: float
    gained: int
    lost: int
    wrong_a: int
    wrong_b: int


@dataclass(frozen=True)
class Comparison:
    """Result B against result A. As text: AP by size with the intervals, and the images that changed most.

    The slow bootstrap runs when it is first needed: by the text and by `write`.

    Attributes:
        truth, samples, seed, top: the arguments of `compare`.
        a: A's detections and their matches.
        b: B's.
    """

    truth: Truth
    a: Judged
    b: Judged
    samples: int
    seed: int
    top: int

    @cached_property
    def changes(self) -> list[Change]:
        """The images with a change, the largest change first."""
        return changed_images(self.truth, self.a, self.b)

    @cached_property
    def differences(self) -> Differences:
        """AP of both, and the intervals of the difference."""
        return bootstrap(self.truth, self.a, self.b, samples=self.samples, seed=self.seed)

    def __str__(self) -> str:
        size = f'({len(self.truth.image_ids)} images, {self.samples} samples)'
        lines = [f'{"AP":8}{"A":>8}{"B":>8}{"Δ":>8}   95 % interval   {size}']
        for row in self.rows[: len(SIZES)]:
            aps = ''.join(f'{percent(value):>8}' for value in (row['ap_a'], row['ap_b'], row['delta']))
            lines.append(f'{row["size"]:8}{aps}   {percent(row["low"])} to {percent(row["high"])}')
        lines.append('images that changed most:' if self.changes else 'no image changed')
        for change in self.changes[: self.top]:
            lines.append(
                f'  {self.truth.names[change.image]}  change {change.change:.2f}, '
                f'objects +{change.gained} −{change.lost}, wrong {change.wrong_a} → {change.wrong_b}'
            )
        return '\n'.join(lines)

    @property
    def titles(self) -> tuple[str, str]:
        """A and B with the names of their files, and of the folders where these are equal."""
        a, b = self.a.detections.path, self.b.detections.path
        if a is None or b is None:
            return 'A', 'B'
        names = [path.stem for path in (a, b)]
        if names[0] == names[1]:
            names = [f'{path.resolve().parent.name}/{path.stem}' for path in (a, b)]
        return f'A: {names[0]}', f'B: {names[1]}'

    @cached_property
    def rows(self) -> list[Row]:
        """AP by class and size, the mean over the classes (class '') first; fractions, None where there is none."""
        rows: list[Row] = []
        for place, name in ((-1, ''), *enumerate(self.truth.classes)):
            for size, label in enumerate(SIZES):
                a, b, low, high, above, images = (values[size, place].item() for values in self.differences)
                rows.append(
                    {
                        'class': name,
                        'size': label,
                        'images': images,
                        'ap_a': plain(a),
                        'ap_b': plain(b),
                        'delta': plain(b - a),
                        'low': plain(low),
                        'high': plain(high),
                        'samples_above_0': plain(above),
                    }
                )
        return rows

    def write(self, folder: str | Path) -> None:
        """Write ``compare.json``, ``compare.csv`` (classes and sizes), ``compare.png`` and ``changed_images.csv``."""
        folder = Path(folder)
        truth, rows = self.truth, self.rows
        columns = 'image_id', 'file_name', *Change._fields[1:]
        changes = [(truth.image_ids[image], truth.names[image], *numbers) for image, *numbers in self.changes]
        first, second = (scope_of(truth, judged.detections) for judged in (self.a, self.b))
        report = {
            'annotations': first.annotations,
            'results_a': first.results,
            'results_b': second.results,
            'iou_type': first.iou_type,
            'images': first.images,
            'samples': self.samples,
            'seed': self.seed,
            'sizes': rows[: len(SIZES)],
            'changed_images': [dict(zip(columns, change, strict=True)) for change in changes[: self.top]],
        }
        write_json(report, folder / 'compare.json')
        write_table(list(rows[0]), (list(row.values()) for row in rows), folder / 'compare.csv')
        write_table(columns, changes, folder / 'changed_images.csv')
        self.draw(folder / 'compare.png')

    def draw(self, path: Path) -> None:
        """Draw the differences with their intervals: all classes by size, then the classes that differ most.

        An interval that does not hold 0 is green if it is above 0 and red if it is below.

        Args:
            path: of the picture; its suffix chooses the format.
        """
        known = [(row, row['delta']) for row in self.rows]
        whole = [(row, delta) for row, delta in known[: len(SIZES)] if delta is not None]
        single = [
            (row, delta)
            for row, delta in known[len(SIZES) :]
            if row['size'] == 'all' and row['low'] is not None and delta is not None
        ]
        single.sort(key=lambda bar: -bar[1])
        if len(single) > CLASSES_DRAWN:
            single = single[: CLASSES_DRAWN // 2] + single[-CLASSES_DRAWN // 2 :]
        names = [f'all classes, {row["size"]}' for row, _ in whole]
        names += [readable(row['class'], str(self.truth.classes.index(row['class']))) for row, _ in single]
        figure = Figure(figsize=(WIDTH, 1.3 + LINE * len(names)), layout='constrained')
        axes = figure.subplots()
        for place, (row, delta) in enumerate([*whole, *single]):
            low, high = (np.nan if end is None else end for end in (row['low'], row['high']))
            colour = BETTER if low > 0 else WORSE if high < 0 else OPEN
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2)
            axes.plot(100 * delta, place, 'o', color=colour)
        axes.axhline(len(whole) - 0.5, color='lightgrey')
        axes.axvline(0, color='black', linewidth=0.8)
        axes.set_yticks(range(len(names)), names, parse_math=False)  # dollars are no formula
        a, b = self.titles
        axes.set_title(readable(f'{a}    {b}'), parse_math=False)
        axes.set(xlabel='ΔAP = AP(B) − AP(A) in points, with its 95 % interval', ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis='x', alpha=0.3)
        write_chart(figure, path)

    def draw_images(self, images: Path, folder: Path, *, score_thr: float = 0.3) -> None:
        """Draw the images that changed most: annotated objects, A and B side by side, see `side_by_side`.

        Args:
            images: the folder that they are in.
            folder: for the drawings, named by their rank and the image.
            score_thr: detections with a lower score are not drawn; from 0 to 1.

        Raises:
            InputError: an image cannot be read, or has another size than the annotations say.
        """
        check_fraction(score_thr, 'score_thr')
        detections = dict(zip(self.titles, (self.a.detections, self.b.detections), strict=True))
        for place, change in enumerate(self.changes[: self.top], 1):
            picture = side_by_side(
                change.image, self.truth, detections, folder=images, score_thr=score_thr, side=PANEL_SIDE
            )
            write_image(picture, folder / f'{place:02d}_{Path(self.truth.names[change.image]).name}')


def compare(
    truth: Truth, a: Detections, b: Detections, *, samples: int = 1000, seed: int = 0, top: int = 12
) -> Comparison:
    """Compare detections B with detections A.

    Args:
        truth: the annotations.
        a: as `read_detections` gives them.
        b: as `read_detections` gives them.
        samples: S, of images.
        seed: of the samples, not negative.
        top: number of changed images to name and draw.
    """
    return Comparison(truth, judge(truth, a), judge(truth, b), samples, seed, top)


def changed_images(truth: Truth, a: Judged, b: Judged) -> list[Change]:
    """The images with a change, the largest change first."""
    images = np.arange(len(truth.image_ids))

    def count(of: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(of, weights, minlength=len(images))

    def seen(judged: Judged) -> tuple[np.ndarray, ...]:
        """Scores (G,) of found objects; found at IoU 0.5 (G,); scores (I,) and number (I,) of wrong detections."""
        (matches, true, false), scores = (values[0] for values in judged.outcome[:3]), judged.detections.scores
        of_pairs, where = np.broadcast_to(scores, true.shape)[true], judged.detections.images
        found = np.bincount(matches[true], of_pairs, len(truth.objects)) / len(true)
        found_first = np.isin(np.arange(len(truth.objects)), matches[0][true[0]])
        return found, found_first, count(where, scores * false.mean(axis=0)), count(where[false[0]])

    (scores_a, found_a, wrong_scores_a, wrong_a), (scores_b, found_b, wrong_scores_b, wrong_b) = seen(a), seen(b)
    more_found, more_wrong, of = scores_b - scores_a, wrong_scores_b - wrong_scores_a, truth.objects.images
    change = count(of, abs(more_found)) + abs(more_wrong)
    better = count(of, more_found) - more_wrong
    gained, lost = count(of[found_b & ~found_a]), count(of[found_a & ~found_b])
    order = np.argsort(-change, kind='stable')
    order = order[change[order] > 1e-9]
    columns = (values[order].tolist() for values in (images, change, better, gained, lost, wrong_a, wrong_b))
    return [Change(*values) for values in zip(*columns, strict=True)]
