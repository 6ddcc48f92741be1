"""COCO's twelve numbers of result records, by faster-coco-eval.

Shape shorthand: T IoU thresholds, R recall thresholds, K categories, A area ranges, M limits of detections per image.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask

from mmagg.io.files import read_json
from mmagg.ops.rle_lengths import rle_lengths

KINDS = ('bbox', 'segm', 'boundary')
# The order of COCO's summary; the names of the first six are those of mmdet's CocoMetric.
NAMES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
NAMES += ('AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100')

Record = dict[str, Any]


def read_annotations(path: str | Path) -> COCO:
    """Reads an annotation file in COCO format.

    Annotations are numbered anew from 1: the evaluator takes the id 0 for "not matched", and drops all but the last
    annotation of an id that occurs twice.

    Args:
        path: the JSON file; without `annotations` (as COCO's `image_info_*.json`) it counts as having none.

    Returns:
        The annotations, as `coco_scores` takes them.

    Raises:
        ValueError: it is not JSON, or has no `images` or `categories`, or a run-length code is too short or too long.
    """
    try:
        content = read_json(path)
        annotations = content.get('annotations') or []
        kept = {'images': content['images'], 'categories': content['categories']}
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f'{path} is not COCO format ({error}); it needs "images" and "categories"') from error
    masks = [ann['segmentation'] for ann in annotations if isinstance(ann.get('segmentation'), dict)]
    for rle in masks:
        counts, pixels = rle['counts'], rle['size'][0] * rle['size'][1]
        length = int(rle_lengths([counts])[0]) if counts and not isinstance(counts, list) else sum(counts)
        if length != pixels:  # the evaluator would read on without an end
            raise ValueError(f'{path}: a run-length code of {length} pixels for a mask of {pixels}')
    return COCO({**kept, 'annotations': [{**ann, 'id': i} for i, ann in enumerate(annotations, 1)]})


def coco_scores(
    annotations: COCO,
    records: Sequence[Record],
    *,
    kind: str,
    category_ids: Sequence[int] | None = None,
    classwise: bool = False,
) -> dict[str, float]:
    """Scores result records as COCO does: IoU 0.5 to 0.95, at most 100 detections of a class in an image.

    All images of the annotations count, those without a record as well. A number over objects that do not exist
    (no annotation at all, none of this size or class) is -1; where there are objects and no detections it is 0.

    Args:
        annotations: of `read_annotations`.
        records: dicts as in COCO's result files, with image_id, category_id, score and `bbox` (x, y, width, height in
            pixels) or, for masks, `segmentation` (RLE or polygons). They are not changed. Masks' sizes are
            their areas even where a box is there too (mmdet does so as well; pycocotools takes the box's area).
        kind: `'bbox'`, `'segm'` or `'boundary'`: what IoU is measured on. Boundary IoU (Cheng et al., 2021) is
            the smaller of the mask's IoU and that of its contour, 2 % of the image's diagonal wide.
        category_ids: the categories to score, default all.
        classwise: one more number a category: AP.

    Returns:
        `{kind}_{name}` for each of `NAMES`; then, if `classwise`, `{kind}_{category}_precision`.

    Raises:
        ValueError: a record is of an image that is not annotated, or has no box or mask where one is needed; or an
            annotation has no mask.
    """
    category_ids = list(annotations.cats if category_ids is None else category_ids)
    unknown = {record['image_id'] for record in records} - annotations.imgs.keys()
    if unknown:
        raise ValueError(f'results of image {min(unknown)} do not belong to the annotations: they have no such image')
    wanted = 'bbox' if kind == 'bbox' else 'segmentation'
    for what, items in (('annotation', annotations.dataset['annotations']), ('result', records)):
        for item in items:
            if not item.get(wanted):
                raise ValueError(f'{what} of image {item["image_id"]} has no {wanted}, which {kind} AP needs')

    detections = COCO({**annotations.dataset, 'annotations': list(_detections(annotations, records, wanted))})
    evaluator = COCOeval_faster(annotations, detections, kind, print_function=_silent)
    evaluator.params.catIds = category_ids
    evaluator.run()
    scores = {f'{kind}_{name}': float(value) for name, value in zip(NAMES, evaluator.stats, strict=True)}
    if classwise:
        precision = evaluator.eval['precision'][:, :, :, 0, -1]  # (T, R, K): of all sizes, 100 detections
        for category_id in category_ids:
            k = evaluator.params.catIds.index(category_id)  # they are sorted
            found = precision[:, :, k][precision[:, :, k] > -1]
            name = annotations.cats[category_id]['name']
            scores[f'{kind}_{name}_precision'] = float(found.mean()) if found.size else -1.0
    return scores


def _detections(annotations: COCO, records: Sequence[Record], wanted: str) -> Iterator[Record]:
    """What the evaluator reads of the records; an area is that of the box or of the mask, as it tells sizes apart."""
    if wanted == 'bbox':
        shapes = [record['bbox'] for record in records]
        areas = np.array(shapes, dtype=float).reshape(-1, 4)[:, 2:].prod(axis=1)
    else:
        shapes = [annotations.annToRLE(record) for record in records]
        areas = coco_mask.area(shapes) if shapes else []
    for i, (record, shape, area) in enumerate(zip(records, shapes, areas, strict=True), 1):
        same = {key: record[key] for key in ('image_id', 'category_id', 'score')}
        yield {'id': i, **same, wanted: shape, 'area': float(area), 'iscrowd': 0}


def _silent(*_: object) -> None:
    """Takes the evaluator's lines: the caller has the numbers."""
