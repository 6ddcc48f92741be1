"""COCO's average precision and recall of result records, by faster-coco-eval.

Shape shorthand: T IoU thresholds, R recall thresholds, K categories, A area ranges, M limits of detections per image.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from mmagg.datasets.coco_file import CocoFile, Entry, Id, check_annotations, in_order, is_crowd, read_coco
from mmagg.datasets.coco_objects import MAX_DETECTIONS
from mmagg.io.errors import InputError
from mmagg.rle.codes import compressed, outline_to_rle, rle_area

KINDS = ('bbox', 'segm', 'boundary')
# The order of COCO's summary; the names of the first six are those of mmdet's CocoMetric.
NAMES: tuple[str, ...] = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
NAMES += ('AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100')
FEW = (1, 10)  # COCO's smaller limits of detections, of the first two recalls
AP_NAMES = ('AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L')
"""The first six, as papers write them."""


def read_annotations(path: str | Path) -> CocoFile:
    """Read an annotation file for `coco_scores` and `average_precisions`.

    Args:
        path: the JSON file; without `annotations` (as COCO's `image_info_*.json`) it counts as having none.

    Raises:
        OSError: it cannot be read.
        InputError: it is not JSON, has no `images` or `categories`, or `check_annotations` refuses it.
    """
    content = read_coco(path)
    check_annotations(content)
    return content


def score_names(kind: str, max_dets: int = MAX_DETECTIONS) -> list[str]:
    """`{kind}_{name}` for each of `NAMES`, with ``max_dets`` in the place of 100."""
    return [f'{kind}_{name.replace("@100", f"@{max_dets}")}' for name in NAMES]


def coco_scores(
    annotations: CocoFile,
    records: Sequence[Entry],
    *,
    kind: str,
    image_ids: Collection[Id] | None = None,
    category_ids: Collection[Id] | None = None,
    classwise: bool = False,
    max_dets: int = MAX_DETECTIONS,
) -> dict[str, float]:
    """Score result records as COCO does: IoU 0.5 to 0.95, at most 100 detections of a class in an image.

    Images without a record count as well. A number over objects that do not exist (no annotation at all, none of this
    size or class) is -1; where there are objects and no detections it is 0.

    Args:
        annotations: of `read_annotations`.
        records: dicts as in COCO's result files, with image_id, category_id, score and `bbox` (x, y, width, height in
            pixels) or, for masks, `segmentation` (RLE or polygons). They are not changed. The size of a mask is its
            area even where a box is there too (mmdet does so as well; pycocotools takes the box's area).
        kind: `'bbox'`, `'segm'` or `'boundary'`: IoU of boxes, masks or boundaries. Boundary IoU (Cheng et al., 2021)
            is the smaller of the mask's IoU and that of its contour, 2 % of the image's diagonal wide.
        image_ids: the images that count, default all.
        category_ids: the categories to score, default all.
        classwise: one more number a category: AP.
        max_dets: detections of a class in an image that count, more than 10.

    Returns:
        `{kind}_{name}` for each of `NAMES`, with `max_dets` in the place of 100; then, if `classwise`,
        `{kind}_{category}_precision`.

    Raises:
        InputError: an image is not annotated, or a record or an annotation has no box or mask where one is needed.
    """
    image_ids = annotations.image_by_id if image_ids is None else image_ids
    category_ids = list(annotations.category_by_id if category_ids is None else category_ids)
    evaluator = _evaluated(annotations, records, kind, image_ids, category_ids, max_dets)
    scores = dict(zip(score_names(kind, max_dets), evaluator.stats.tolist(), strict=True))
    if classwise:
        precision = evaluator.eval['precision'][:, :, :, 0, -1]  # (T, R, K): of all sizes, `max_dets` detections
        places = in_order(category_ids)
        for category_id in category_ids:
            name = annotations.category_by_id[category_id]['name']
            scores[f'{kind}_{name}_precision'] = mean_precision(precision[:, :, places.index(category_id)])
    return scores


def average_precisions(
    truth: CocoFile,
    records: Sequence[Entry],
    kind: str,
    image_ids: Collection[Id],
    category_ids: Collection[Id],
) -> dict[str, float | None]:
    """COCO's AP of some images and categories: numbers of `coco_scores`, not rounded.

    Args:
        truth: of `read_annotations`.
        records: as `coco_scores` takes them; those of other images and categories do not count.
        kind: `'bbox'`, `'segm'` or `'boundary'`.
        image_ids: the images that count.
        category_ids: the categories that count.

    Returns:
        By the names of `AP_NAMES`, in [0, 1]: mean over IoU 0.5 to 0.95, at 0.5, at 0.75, and of small, medium and
        large objects. None where there is no object.

    Raises:
        InputError: as of `coco_scores`.
    """
    stats = _evaluated(truth, records, kind, image_ids, category_ids).stats[: len(AP_NAMES)].tolist()
    return {name: None if value == -1 else value for name, value in zip(AP_NAMES, stats, strict=True)}


def _evaluated(
    annotations: CocoFile,
    records: Sequence[Entry],
    kind: str,
    image_ids: Collection[Id],
    category_ids: Collection[Id],
    max_dets: int = MAX_DETECTIONS,
) -> COCOeval_faster:
    """The evaluator after its run.

    It gets images, categories and annotations numbered from 1, in the order of their ids: it knows integers alone,
    takes an annotation's id 0 for "not matched", and drops all but the last annotation of an id that occurs twice.
    """
    check_images(annotations, {*image_ids, *(record['image_id'] for record in records)})
    images, categories = ({one: i for i, one in enumerate(in_order(ids), 1)} for ids in (image_ids, category_ids))
    shape = 'bbox' if kind == 'bbox' else 'segmentation'

    def numbered(items: Sequence[Entry], *, found: bool) -> Iterator[Entry]:
        counted = [item for item in items if item['image_id'] in images and item['category_id'] in categories]
        check_outlines(counted, kind, 'result' if found else 'annotation')
        for i, item in enumerate(counted, 1):
            image_id, area = item['image_id'], None if found else item.get('area')
            if area is None:
                area = _own_area(item, annotations.image_by_id[image_id], shape)
            yield {
                'id': i,
                'image_id': images[image_id],
                'category_id': categories[item['category_id']],
                shape: _compressed(item[shape]),
                'area': float(area),
                'iscrowd': 0 if found else is_crowd(item),
                'score': item['score'] if found else 0.0,
            }

    truth = {
        'images': [{**annotations.image_by_id[one], 'id': i} for one, i in images.items()],
        'categories': [{'id': i} for i in categories.values()],
        'annotations': list(numbered(annotations.annotations, found=False)),
    }
    evaluator = coco_evaluator(truth, list(numbered(records, found=True)), kind)
    evaluator.params.maxDets = [*FEW, max_dets]
    evaluator.run()
    return evaluator


def _compressed(shape: list | Entry) -> list | Entry:
    """A box or mask with its code compressed; faster-coco-eval fails on a list of runs such as 64.0."""
    return compressed(shape) if isinstance(shape, dict) else shape


def check_images(annotations: CocoFile, image_ids: Collection[Id]) -> None:
    """Raises InputError for an image that the annotations lack."""
    if unknown := set(image_ids) - annotations.image_by_id.keys():
        name = min(unknown, key=str)
        raise InputError(f'results of image {name} do not belong to {annotations.path}: it has no such image')


def check_outlines(items: Sequence[Entry], kind: str, what: str) -> None:
    """Raises InputError for an annotation or a result (`what`) without the box or mask that AP of this kind needs."""
    shape = 'bbox' if kind == 'bbox' else 'segmentation'
    for item in items:
        if not item.get(shape):
            raise InputError(f'{what} of image {item["image_id"]} has no {shape}, which {kind} AP needs')


def _own_area(item: Entry, image: Entry, shape: str) -> float:
    """The area of the item's box or mask in pixels."""
    if shape == 'bbox':
        return float(item['bbox'][2] * item['bbox'][3])
    return float(rle_area(outline_to_rle(item['segmentation'], image['height'], image['width'])))


def coco_evaluator(truth: dict, detections: Sequence[Entry], kind: str, *, lvis_style: bool = False) -> COCOeval_faster:
    """The evaluator before its run; it prints nothing.

    Args:
        truth: annotations in COCO format; the evaluator adds its own fields to them.
        detections: result records with `id`, `area` and `iscrowd`; the evaluator adds fields to these, too.
        kind: one of `KINDS`.
        lvis_style: an image counts only for the categories that were looked for in it.
    """
    results = COCO({**truth, 'annotations': list(detections)})
    return COCOeval_faster(COCO(truth), results, kind, lvis_style=lvis_style, print_function=lambda *_: None)


def mean_precision(precision: np.ndarray) -> float:
    """COCO's mean: over values other than -1, which stands for a category without objects; -1 if there are none."""
    precision = precision[precision > -1]
    return float(precision.mean()) if precision.size else -1.0
