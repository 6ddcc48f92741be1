"""A web page about a test run, for ``tools/test.py --report DIR``: scores, curves, errors, images, latency."""

import base64
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_file import Id
from mmagg.datasets.coco_objects import MAX_DETECTIONS, Detections, Truth
from mmagg.datasets.coco_reader import read_detections
from mmagg.evaluation.calibration import calibration
from mmagg.evaluation.confusion import confusion
from mmagg.evaluation.errors import error_analysis
from mmagg.evaluation.groups import ap_by_group
from mmagg.evaluation.image_quality import ImageQuality, extremes, image_quality
from mmagg.evaluation.matching import THRESHOLDS, Pairs, overlaps
from mmagg.evaluation.precision_recall import PrecisionRecall, precision_recall
from mmagg.evaluation.result_pictures import side_by_side
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import written_whole
from mmagg.io.tables import percent

TEMPLATE = Path(__file__).with_name('report.html.jinja')
KINDS = {'segm': 'mask', 'bbox': 'box', 'boundary': 'boundary'}
SCORES = {
    'mAP': 'AP',
    'mAP_50': 'AP50',
    'mAP_75': 'AP75',
    'mAP_s': 'AP small',
    'mAP_m': 'AP medium',
    'mAP_l': 'AP large',
    'AR@1': 'AR 1',
    'AR@10': 'AR 10',
    'AR@100': 'AR 100',
}
OF_A_KIND = re.compile(rf'([^/]+)/({"|".join(KINDS)})_({"|".join(map(re.escape, SCORES))})')
PICTURES = 4  # best, median and worst images, each
PANEL_SIDE, JPEG_QUALITY = 536, 85  # pixels: the page shows a pair of so wide panels as it is; per cent
MATCHED = 0.5  # IoU of a right detection, in charts of one IoU threshold


@dataclass(frozen=True)
class Evaluation:
    """A test run.

    Attributes:
        config: the config's name.
        checkpoint: the weights' file.
        truth: the annotations of the classes that the model knows, of all images, read from a file.
        image_ids: of the tested images; the page is about these.
        results: the predictions, in COCO's format.
        image_folder: of the images.
        metrics: numbers of the evaluator, by their names.
        seconds: mean time of an image, by stage.
        machine: names of `cpu` and `gpu` (None without one), number of CPU `threads`, version of `torch`.
        max_dets: detections of an image and class that count.
    """

    config: str
    checkpoint: str
    truth: Truth
    image_ids: Collection[Id]
    results: Path
    image_folder: Path
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
    machine: Mapping[str, Any]
    max_dets: int = MAX_DETECTIONS


def write_report(tested: Evaluation, path: Path, *, score_thr: float) -> None:
    """Write the page: one file, with all pictures in it.

    Args:
        tested: the run.
        path: of the page.
        score_thr: the confusion matrix, the images and their ranking leave out detections with a lower score.

    Raises:
        InputError: the predictions cannot be read.
    """
    truth = tested.truth.of_images(tested.image_ids)
    detections = read_detections(tested.results, truth, max_dets=tested.max_dets)
    pairs = overlaps(detections, truth.objects)
    curves = precision_recall(truth, detections, pairs=pairs)
    quality = image_quality(truth, detections, score_thr=score_thr)
    page = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(TEMPLATE.read_text(encoding='utf-8'))
    text = page.render(
        tested=tested,
        kind=KINDS[truth.iou_type],
        now=datetime.now().strftime('%Y-%m-%d %H:%M'),
        scope=curves.scope,
        scores=score_table(tested.metrics),
        others=[
            (name, percent_or_text(value)) for name, value in tested.metrics.items() if not OF_A_KIND.fullmatch(name)
        ],
        charts=charts(truth, detections, pairs, curves, score_thr),
        classes=class_table(truth, curves),
        score_thr=score_thr,
        pictures=pictures(truth, detections, quality, tested.image_folder, score_thr),
        latency=latency_table(tested.seconds),
    )
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')  # names of files


def score_table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """COCO's numbers in per cent: `columns`, and `rows` of a kind and its values; a dash where there is none."""
    found = {match.groups(): metrics[match[0]] for match in map(OF_A_KIND.fullmatch, metrics) if match}
    columns = [name for name in SCORES if any(known == name for *_, known in found)]
    evaluators = dict.fromkeys(evaluator for evaluator, *_ in found)
    rows = [
        (
            name if len(evaluators) == 1 else f'{evaluator}, {name}',
            [percent(_known(found.get((evaluator, kind, column)))) for column in columns],
        )
        for evaluator in evaluators
        for kind, name in KINDS.items()
        if any(known[:2] == (evaluator, kind) for known in found)
    ]
    return {'columns': [SCORES[column] for column in columns], 'rows': rows}


def percent_or_text(value: Any) -> str:
    """A metric of any kind as text; numbers in [-1, 1] are taken for shares, and -1 for no value."""
    if isinstance(value, float) and -1 <= value <= 1:
        return percent(_known(value))
    return str(value)


def _known(value: float | None) -> float | None:
    return None if value is None or value < 0 else value


# Charts and tables


def charts(
    truth: Truth, detections: Detections, pairs: Pairs, curves: PrecisionRecall, score_thr: float
) -> list[dict[str, str]]:
    """Charts of all images: `title`, `text` that explains the chart, and `picture`, its data address."""
    groups = ap_by_group(truth, detections, pairs=pairs)
    reliability = calibration(truth, detections, iou_thr=MATCHED, pairs=pairs)
    errors = error_analysis(truth, detections, iou_thr=MATCHED, pairs=pairs)
    matrix = confusion(truth, detections, score_thr=score_thr, iou_thr=MATCHED)

    def chart(title: str, draw: Callable[[Path], None], text: str) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'chart.svg')
            draw(path)
            return {'title': title, 'text': text, 'picture': data_address(path.read_bytes(), 'image/svg+xml')}

    return [
        chart(
            'Precision and recall',
            curves.draw,
            'Precision at each recall, the mean over the classes, from loose (IoU 0.50) to strict (0.95) matching. The '
            'area below a curve is its AP.',
        ),
        chart(
            'Size and crowding',
            lambda path: groups.draw(path, ('size', 'part of the box that other objects cover')),
            'AP and recall of objects by their size, and by how much of their bounding box other annotated objects '
            'cover.',
        ),
        chart(
            'Where AP is lost',
            errors.draw,
            "AP as predicted, and with each outline replaced by that of the object it overlaps most (SOLO's Table 7); "
            f'then the errors at IoU {MATCHED:g} in the manner of TIDE: how many, and what fixing one kind alone would '
            'gain.',
        ),
        chart(
            'Confusion',
            matrix.draw,
            f'What objects of a class (rows) are detected as (columns): detections with a score from {score_thr:g}, on '
            f'the object that they overlap by {MATCHED:g} or more.',
        ),
        chart(
            'Calibration',
            reliability.draw,
            f'The share of detections that is right at IoU {MATCHED:g}, by their score: on the diagonal, scores are '
            'probabilities.',
        ),
    ]


def data_address(content: bytes, mime: str) -> str:
    """A `data:` address, so that a page needs no other file."""
    return f'data:{mime};base64,{base64.b64encode(content).decode()}'


def class_table(truth: Truth, result: PrecisionRecall) -> list[dict[str, Any]]:
    """A row a class: objects, AP, AP50, and the score threshold with the best F1; the best class first."""
    precision, best = result.curves.precision, result.best
    ap = precision.mean(axis=(0, 2))
    threshold = int(np.isclose(THRESHOLDS, MATCHED).argmax())
    counts = np.bincount(truth.objects.labels[~truth.objects.crowd], minlength=len(truth.classes))
    return [
        {
            'name': truth.classes[label],
            'objects': int(counts[label]),
            'ap': percent(ap[label]),
            'share': max(0.0, float(np.nan_to_num(100 * ap[label]))),
            'ap50': percent(precision[threshold, label].mean()),
            'f1': percent(best.f1[threshold, label]),
            'score': '–' if np.isnan(best.scores[threshold, label]) else f'{best.scores[threshold, label]:.2f}',
        }
        for label in np.argsort(-ap, kind='stable')  # nan comes last
    ]


def latency_table(seconds: Mapping[str, float]) -> dict[str, Any]:
    """`stages` (name, ms, share in per cent) of an image, the `total` in ms, and images a second."""
    total = sum(seconds.values())
    stages = [(name, f'{1000 * value:.1f}', 100 * value / total) for name, value in seconds.items()]
    return {'stages': stages, 'total': f'{1000 * total:.1f}', 'rate': f'{1 / total:.2f}' if total else '–'}


# Images


def pictures(
    truth: Truth, detections: Detections, quality: ImageQuality, folder: Path, score_thr: float
) -> dict[str, list[dict[str, Any]]]:
    """The best, median and worst images: annotated objects beside detections, with captions."""
    chosen = extremes(quality.quality, PICTURES)
    result: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    places = [(name, index) for name, indices in chosen.items() for index in indices]
    for name, index in tqdm(places, 'report: images', unit='image', delay=2, leave=False):
        try:
            pair = side_by_side(
                index, truth, {'detected': detections}, folder=folder, score_thr=score_thr, side=PANEL_SIDE
            )
        except InputError as error:  # the numbers do not need it
            tqdm.write(f'report: {one_line(error)}; left out', file=sys.stderr)
            continue
        numbers = {key: values[index] for key, values in quality._asdict().items()}
        caption = {**numbers, 'name': truth.names[index], 'quality': percent(numbers['quality'])}
        result[name].append({**caption, 'picture': _jpeg(pair), 'width': pair.shape[1]})
    return result


def _jpeg(picture: np.ndarray) -> str:
    """The picture's data address."""
    content = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return data_address(content.tobytes(), 'image/jpeg')
