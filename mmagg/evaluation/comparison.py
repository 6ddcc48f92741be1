"""Two result files on the same images: a paired bootstrap of ΔAP, and the images that changed most.

>>> truth = read_truth(annotations)
>>> result = compare(truth, read_detections(results, truth), read_detections(others, truth), samples=100)
>>> result.write(folder)  # print(result) shows AP by size, and the images that changed most

Shape shorthand: I images, K classes, G objects, D detections, A size ranges, T IoU thresholds, S samples of images.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.evaluation.bootstrap import Differences, Judged, bootstrap, judge
from mmagg.evaluation.matching import SIZES
from mmagg.evaluation.result_pictures import side_by_side
from mmagg.evaluation.scope import scope_of
from mmagg.io.files import write_json, written_whole
from mmagg.io.images import write_image
from mmagg.io.tables import percent, plain, write_table

CLASSES_DRAWN = 20  # those with the largest differences
WIDTH, LINE, DPI = 8, 0.28, 110  # inches, inches, dots per inch
BETTER, WORSE, OPEN = '#2a7f3f', '#b3352b', '#666666'

Row = dict[str, str | float | None]


class Change(NamedTuple):
    """How an image changed from A to B.

    Attributes:
        image: its index.
        change: how much: the difference of the scores with which each object is found, plus that of the sum of the
            scores of wrong detections, both averaged over the IoU thresholds.
        better: the same with signs: more than 0 where objects are found more surely or less is wrong.
        gained: objects that only B finds, at IoU 0.5.
        lost: objects that only A finds.
        wrong_a: wrong detections of A, at IoU 0.5.
        wrong_b: the same of B.
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

    The bootstrap, which takes its time, is done when it is first asked for: by the text and by `write`.

    Attributes:
        truth: the annotations.
        a: detections, judged.
        b: the others.
        samples: S, of images.
        seed: of the samples.
        top: how many changed images are named and drawn.
    """

    truth: Truth
    a: Judged
    b: Judged
    samples: int
    seed: int
    top: int

    @cached_property
    def changes(self) -> list[Change]:
        """The images with a change, the largest first."""
        return changed_images(self.truth, self.a, self.b)

    @cached_property
    def differences(self) -> Differences:
        """AP of both, and the intervals of the difference."""
        return bootstrap(self.truth, self.a, self.b, samples=self.samples, seed=self.seed)

    def __str__(self) -> str:
        size = f'({len(self.truth.image_ids)} images, {self.samples} samples)'
        lines = [f'{"AP":8}{"A":>8}{"B":>8}{"Δ":>8}   95 % interval   {size}']
        for row in self.rows[: len(SIZES)]:
            a, b, delta, low, high = (percent(row[key]) for key in ('ap_a', 'ap_b', 'delta', 'low', 'high'))
            lines.append(f'{row["size"]:8}{a:>8}{b:>8}{delta:>8}   {low} to {high}')
        lines.append('images that changed most:' if self.changes else 'no image changed')
        for change in self.changes[: self.top]:
            lines.append(
                f'  {self.truth.names[change.image]}  change {change.change:.2f}, '
                f'objects +{change.gained} −{change.lost}, wrong {change.wrong_a} → {change.wrong_b}'
            )
        return '\n'.join(lines)

    @cached_property
    def rows(self) -> list[Row]:
        """AP by class and size, the mean over the classes (class '') first; fractions, None where there is none."""
        rows = []
        for place, name in ((-1, ''), *enumerate(self.truth.classes)):
            for size, label in enumerate(SIZES):
                a, b, low, high, above, images = (values[size, place].item() for values in self.differences)
                values = {'ap_a': a, 'ap_b': b, 'delta': b - a, 'low': low, 'high': high, 'samples_above_0': above}
                known = {key: plain(value) for key, value in values.items()}
                rows.append({'class': name, 'size': label, 'images': images, **known})
        return rows

    def write(self, folder: Path) -> None:
        """Write ``compare.json``, ``compare.csv`` (classes and sizes), ``compare.png`` and ``changed_images.csv``."""
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
        write_table(list(rows[0]), (row.values() for row in rows), folder / 'compare.csv')
        write_table(columns, changes, folder / 'changed_images.csv')
        self.draw(folder / 'compare.png')

    def draw(self, path: Path) -> None:
        """Draw the differences with their intervals: all classes by size, then the classes that differ most.

        An interval without 0 is green above it and red below it.

        Args:
            path: the picture; its suffix chooses the format.
        """
        whole = [row for row in self.rows[: len(SIZES)] if row['delta'] is not None]
        single = [row for row in self.rows[len(SIZES) :] if row['size'] == 'all' and row['low'] is not None]
        single.sort(key=lambda row: -row['delta'])
        if len(single) > CLASSES_DRAWN:
            single = single[: CLASSES_DRAWN // 2] + single[-CLASSES_DRAWN // 2 :]
        names = [f'all classes, {row["size"]}' for row in whole] + [row['class'] for row in single]
        figure = Figure(figsize=(WIDTH, 1.3 + LINE * len(names)), layout='constrained')
        axes = figure.subplots()
        for place, row in enumerate([*whole, *single]):
            low, high = (np.nan if row[key] is None else row[key] for key in ('low', 'high'))
            colour = BETTER if low > 0 else WORSE if high < 0 else OPEN
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2)
            axes.plot(100 * row['delta'], place, 'o', color=colour)
        axes.axhline(len(whole) - 0.5, color='lightgrey')
        axes.axvline(0, color='black', linewidth=0.8)
        axes.set_yticks(range(len(names)), names, parse_math=False)  # dollars are no formula
        paths = self.a.detections.path, self.b.detections.path
        a, b = (name if path is None else path.name for name, path in zip('AB', paths, strict=True))
        axes.set_title(f'{b} − {a}', parse_math=False)
        axes.set(xlabel='ΔAP in points, with its 95 % interval', ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis='x', alpha=0.3)
        with written_whole(path) as temporary:
            figure.savefig(temporary, dpi=DPI)

    def draw_images(self, images: Path, folder: Path, *, score_thr: float = 0.3) -> None:
        """Draw the images that changed most: annotated objects, A and B side by side.

        Args:
            images: the folder that they are in.
            folder: for the drawings, named by their place and the image.
            score_thr: less certain detections are not drawn.

        Raises:
            InputError: an image cannot be read, or has another size than the annotations say.
        """
        detections = self.a.detections, self.b.detections
        for place, change in enumerate(self.changes[: self.top], 1):
            picture = side_by_side(change.image, self.truth, detections, folder=images, score_thr=score_thr)
            write_image(picture, folder / f'{place:02d}_{Path(self.truth.names[change.image]).name}')


def compare(
    truth: Truth, a: Detections, b: Detections, *, samples: int = 1000, seed: int = 0, top: int = 12
) -> Comparison:
    """Compare detections B with detections A.

    Args:
        truth: the annotations.
        a: as `read_detections` gives them.
        b: the same.
        samples: S, of images.
        seed: of the samples, not negative.
        top: how many changed images to name and draw.
    """
    return Comparison(truth, judge(truth, a), judge(truth, b), samples, seed, top)


def changed_images(truth: Truth, a: Judged, b: Judged) -> list[Change]:
    """The images with a change, the largest first."""
    objects, images = truth.objects, len(truth.image_ids)
    finds = [_scores_of_objects(judged, len(objects)) for judged in (a, b)]
    wrong = [_wrong(judged, images) for judged in (a, b)]
    more_found, more_wrong = finds[1] - finds[0], wrong[1][0] - wrong[0][0]
    change = np.bincount(objects.images, abs(more_found), minlength=images) + abs(more_wrong)
    better = np.bincount(objects.images, more_found, minlength=images) - more_wrong
    found = [_found(judged, len(objects)) for judged in (a, b)]
    gained = np.bincount(objects.images[found[1] & ~found[0]], minlength=images)
    lost = np.bincount(objects.images[found[0] & ~found[1]], minlength=images)
    order = np.argsort(-change, kind='stable')
    order = order[change[order] > 1e-9]
    columns = np.arange(images), change, better, gained, lost, wrong[0][1], wrong[1][1]
    return [Change(*values) for values in zip(*(column[order].tolist() for column in columns), strict=True)]


def _scores_of_objects(judged: Judged, count: int) -> np.ndarray:
    """(G,) score of the detection that finds an object, averaged over the thresholds; 0 where none does."""
    matches, true = judged.outcome.matches[0], judged.outcome.true[0]
    scores = np.broadcast_to(judged.detections.scores, true.shape)
    return np.bincount(matches[true], scores[true], minlength=count) / len(true)


def _found(judged: Judged, count: int) -> np.ndarray:
    """(G,) bool, at the first threshold."""
    found = np.zeros(count, bool)
    found[judged.outcome.matches[0, 0][judged.outcome.true[0, 0]]] = True
    return found


def _wrong(judged: Judged, images: int) -> tuple[np.ndarray, np.ndarray]:
    """(I,) scores of wrong detections, averaged over the thresholds, and (I,) their number at the first one."""
    false, where = judged.outcome.false[0], judged.detections.images
    scores = judged.detections.scores * false.mean(axis=0)
    return np.bincount(where, scores, minlength=images), np.bincount(where[false[0]], minlength=images)
