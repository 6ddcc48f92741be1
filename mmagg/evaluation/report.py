"""A page about a test run, as ``tools/test.py --report DIR`` writes it: scores, curves, errors, images, latency."""

import base64
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from tqdm import tqdm

from mmagg.apis.hardware import hardware
from mmagg.datasets.coco_objects import Detections, Truth
from mmagg.datasets.coco_reader import read_detections, read_truth
from mmagg.evaluation.average_precision import mean_over_classes
from mmagg.evaluation.calibration import calibration
from mmagg.evaluation.calibration_chart import plot_calibration
from mmagg.evaluation.confusion import confusion_matrix
from mmagg.evaluation.confusion_chart import plot_confusion
from mmagg.evaluation.error_chart import plot_errors
from mmagg.evaluation.errors import analyse_errors
from mmagg.evaluation.group_chart import plot_groups
from mmagg.evaluation.groups import EDGES, by_coverage, by_size, coverage_names
from mmagg.evaluation.image_quality import ImageQuality, extremes, image_quality
from mmagg.evaluation.matching import SIZES, THRESHOLDS, Outcome, Pairs, evaluate, overlaps
from mmagg.evaluation.precision_recall import Curves, best_f1, precision_recall
from mmagg.evaluation.precision_recall_chart import plot_precision_recall
from mmagg.evaluation.result_pictures import side_by_side
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
OF_MASKS = re.compile('[^/]+/(segm|boundary)_')
PICTURES = 4  # best, median and worst images, each
PICTURE_WIDTH, JPEG_QUALITY = 1100, 85  # pixels of a pair, per cent
MATCHED = 0.5  # IoU of a right detection, where one has to be chosen


@dataclass(frozen=True)
class Evaluation:
    """What was tested.

    Attributes:
        config: the config's name.
        checkpoint: the weights' file.
        annotations: the annotation file.
        results: the predictions, in COCO's format.
        image_folder: of the images.
        category_ids: of the classes that the model knows.
        tested: how many images were.
        metrics: what the evaluator measured.
        seconds: an image takes, by stage.
        device: that it ran on.
    """

    config: str
    checkpoint: str
    annotations: Path
    results: Path
    image_folder: Path
    category_ids: Sequence[int]
    tested: int
    metrics: Mapping[str, Any]
    seconds: Mapping[str, float]
    device: str


def write_report(tested: Evaluation, path: Path, *, score_thr: float) -> None:
    """Write the page: one file, with all pictures in it.

    Args:
        tested: what was.
        path: of the page.
        score_thr: what is less certain is left out of the confusion matrix, of the images and of their ranking.

    Raises:
        InputError: the annotations or an image cannot be read.
    """
    iou_type = 'segm' if any(map(OF_MASKS.match, tested.metrics)) else 'bbox'
    truth = read_truth(tested.annotations, iou_type).of_categories(tested.category_ids)
    detections = read_detections(tested.results, truth)
    pairs = overlaps(detections, truth.objects)
    outcome = evaluate(detections, truth.objects, pairs)
    curves = precision_recall(outcome, detections, truth.objects, classes=len(truth.classes))
    quality = image_quality(detections, truth.objects, images=len(truth.image_ids), score_thr=score_thr)
    page = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(TEMPLATE.read_text(encoding='utf-8'))
    text = page.render(
        tested=tested,
        kind=KINDS[iou_type],
        now=datetime.now().strftime('%Y-%m-%d %H:%M'),
        machine=hardware(tested.device),
        images=len(truth.image_ids),
        objects=int((~truth.objects.crowd).sum()),
        detections=len(detections),
        scores=score_table(tested.metrics),
        others=[
            (name, percent_or_text(value)) for name, value in tested.metrics.items() if not OF_A_KIND.fullmatch(name)
        ],
        charts=charts(truth, detections, pairs, curves, score_thr),
        classes=class_table(truth, detections, outcome, curves),
        score_thr=score_thr,
        pictures=pictures(truth, detections, quality, tested.image_folder, iou_type, score_thr),
        latency=latency_table(tested.seconds),
    )
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def score_table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """COCO's numbers in per cent: `columns`, and `rows` of a kind and its values; a dash for what does not exist."""
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
    """A metric of any kind; those in [-1, 1] are taken for shares, of which -1 says that there is none."""
    if isinstance(value, float) and -1 <= value <= 1:
        return percent(_known(value))
    return str(value)


def _known(value: float | None) -> float | None:
    return None if value is None or value < 0 else value


# Charts and tables


def charts(
    truth: Truth, detections: Detections, pairs: Pairs, curves: Curves, score_thr: float
) -> list[dict[str, str]]:
    """Pictures of the whole: `title`, `text` that says what is to be seen, and `picture`, an address with the data."""
    counts = dict(images=len(truth.image_ids), classes=len(truth.classes))
    mean = mean_over_classes(np.moveaxis(curves.precision, 1, -1))
    case = detections, truth.objects, pairs
    groups = {
        'size': (list(SIZES), by_size(*case, **counts)),
        'part of the box that other objects cover': (coverage_names(EDGES), by_coverage(*case, **counts)),
    }
    at_one = evaluate(*case, thresholds=np.array([MATCHED]))
    reliability = calibration(at_one, detections, pairs)
    errors = analyse_errors(detections, truth.objects, **counts, iou_thr=MATCHED)
    matrix = confusion_matrix(
        detections, truth.objects, classes=len(truth.classes), score_thr=score_thr, iou_thr=MATCHED
    )
    return [
        {
            'title': 'Precision and recall',
            'text': 'Precision at each recall, the mean over the classes, from loose (IoU 0.50) to strict (0.95) '
            'matching. The area below a curve is its AP.',
            'picture': drawn(lambda path: plot_precision_recall({'all classes': mean}, THRESHOLDS, path)),
        },
        {
            'title': 'Size and crowding',
            'text': 'AP and recall of objects by their size, and by how much of their bounding box other annotated '
            'objects cover.',
            'picture': drawn(lambda path: plot_groups(groups, path)),
        },
        {
            'title': 'Where AP is lost',
            'text': "AP as predicted, and with each outline replaced by that of the object it overlaps most (SOLO's "
            f'Table 7); then the errors at IoU {MATCHED:g} in the manner of TIDE: how many, and what mending one kind '
            'alone would gain.',
            'picture': drawn(lambda path: plot_errors(errors, path)),
        },
        {
            'title': 'Confusion',
            'text': f'What objects of a class (rows) are detected as (columns): detections with a score from '
            f'{score_thr:g}, on the object that they overlap by {MATCHED:g} or more.',
            'picture': drawn(lambda path: plot_confusion(matrix, truth.classes, path)),
        },
        {
            'title': 'Calibration',
            'text': f'The share of detections that is right at IoU {MATCHED:g}, by their score: on the diagonal, '
            'scores are probabilities.',
            'picture': drawn(lambda path: plot_calibration(reliability, 'score against precision', path)),
        },
    ]


def drawn(plot: Callable[[Path], None]) -> str:
    """What a chart's function writes, as an SVG picture's data address."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'chart.svg')
        plot(path)
        return data_address(path.read_bytes(), 'image/svg+xml')


def data_address(content: bytes, mime: str) -> str:
    """A `data:` address, so that a page needs no other file."""
    return f'data:{mime};base64,{base64.b64encode(content).decode()}'


def class_table(truth: Truth, detections: Detections, outcome: Outcome, curves: Curves) -> list[dict[str, Any]]:
    """A row a class: objects, AP, AP50, and the score threshold with the best F1; the best class first."""
    ap = curves.precision.mean(axis=(0, 2))
    threshold = int(np.isclose(THRESHOLDS, MATCHED).argmax())
    best = best_f1(outcome, detections, truth.objects, classes=len(truth.classes))
    counts = np.bincount(truth.objects.labels[~truth.objects.crowd], minlength=len(truth.classes))
    return [
        {
            'name': truth.classes[label],
            'objects': int(counts[label]),
            'ap': percent(ap[label]),
            'share': max(0.0, float(np.nan_to_num(100 * ap[label]))),
            'ap50': percent(curves.precision[threshold, label].mean()),
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
    truth: Truth, detections: Detections, quality: ImageQuality, folder: Path, iou_type: str, score_thr: float
) -> dict[str, list[dict[str, Any]]]:
    """The best, median and worst images: what is annotated beside what is found, with captions."""
    chosen = {name: indices.tolist() for name, indices in extremes(quality.quality, PICTURES).items()}
    options = dict(folder=folder, iou_type=iou_type, score_thr=score_thr)
    with tqdm(total=sum(map(len, chosen.values())), desc='report: images', unit='image', delay=2, leave=False) as bar:
        result = {}
        for name, indices in chosen.items():
            result[name] = []
            for index in indices:
                pair = side_by_side(index, truth, [detections], **options)
                result[name].append(
                    {
                        'name': truth.names[index],
                        'picture': _jpeg(pair),
                        'quality': percent(quality.quality[index]),
                        'found': int(quality.found[index]),
                        'missed': int(quality.missed[index]),
                        'wrong': int(quality.wrong[index]),
                    }
                )
                bar.update()
    return result


def _jpeg(picture: np.ndarray) -> str:
    """The picture's data address, made smaller where it is larger than a page shows."""
    factor = PICTURE_WIDTH / picture.shape[1]
    if factor < 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    content = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return data_address(content.tobytes(), 'image/jpeg')
