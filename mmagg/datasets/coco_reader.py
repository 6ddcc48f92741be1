"""Reading annotations and results in COCO's format: ids, categories, sizes, types and run lengths checked once."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
from tqdm import tqdm

from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.io.errors import InputError
from mmagg.io.files import read_json
from mmagg.ops.rle_lengths import rle_lengths

Entry = dict[str, Any]
BAD = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError)


def read_truth(path: Path, iou_type: str = 'segm') -> Truth:
    """Read an annotation file.

    Args:
        path: JSON.
        iou_type: 'segm' for masks, 'bbox' for boxes.

    Raises:
        InputError: it is not COCO format, or an annotation has no mask or box.
    """
    content = _read(path)
    try:
        images = sorted(content['images'], key=lambda image: image['id'])
        categories = sorted(content['categories'], key=lambda category: category['id'])
        annotations = list(content['annotations'])
        image_ids = tuple(image['id'] for image in images)
        category_ids = tuple(category['id'] for category in categories)
        names = tuple(str(image.get('file_name', image['id'])) for image in images)
        sizes = tuple((int(image['height']), int(image['width'])) for image in images)
        classes = tuple(str(category['name']) for category in categories)
        index = _index(image_ids), _index(category_ids)
    except BAD as error:
        raise InputError(f'{path} is not COCO format ({type(error).__name__}: {error})') from error
    if not images:
        raise InputError(f'{path} has no images: its list "images" is empty')
    images_of, labels, outlines, areas = _entries(path, annotations, 'annotation', index, sizes, iou_type)
    try:
        areas = np.array([float(entry.get('area', area)) for entry, area in zip(annotations, areas, strict=True)])
        for place in np.flatnonzero(~np.isfinite(areas))[:1]:
            raise ValueError(f'that of annotation {place} is {areas[place]}')
        crowd = np.array([bool(entry.get('iscrowd')) for entry in annotations], bool)
    except BAD as error:
        raise InputError(f'{path}: an "area" is no number ({error})') from error
    objects = Objects(images_of, labels, areas, crowd, outlines)
    return Truth(iou_type, image_ids, names, sizes, category_ids, classes, objects, path)


def read_detections(path: Path, truth: Truth) -> Detections:
    """Read a result file for the images of ``truth``; it may be empty.

    Raises:
        InputError: it is no result file, or not one of these annotations.
    """
    content = _read(path)
    if not isinstance(content, list):
        raise InputError(f'{path} is no COCO result file; it must hold a list of detections')
    index = _index(truth.image_ids), _index(truth.category_ids)
    images, labels, outlines, areas = _entries(path, content, 'detection', index, truth.sizes, truth.iou_type)
    scores = np.empty(len(content))
    for place, entry in enumerate(content):
        score = entry.get('score')
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise InputError(f'{path}: the score of detection {place} is {score!r}, not a finite number')
        scores[place] = score
    return Detections(images, labels, areas, scores, outlines, path).counted()


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error
    except ValueError as error:  # bad JSON and bad UTF-8
        raise InputError(f'{path} is not JSON: {error}') from error


def _index(ids: tuple) -> dict:
    index = {name: place for place, name in enumerate(ids)}
    if len(index) < len(ids):
        raise ValueError('an id occurs twice')
    return index


def _entries(
    path: Path, entries: list[Entry], kind: str, index: tuple[dict, dict], sizes: tuple, iou_type: str
) -> tuple[np.ndarray, ...]:
    """Images (N,), labels (N,), outlines and areas (N,) of annotations or detections."""
    images, labels, areas = np.empty(len(entries), int), np.empty(len(entries), int), np.empty(len(entries))
    outlines = np.empty(len(entries), object) if iou_type == 'segm' else np.empty((len(entries), 4))
    outline = _mask if iou_type == 'segm' else _box
    key, hint = (
        ('segmentation', '--iou-type bbox compares boxes')
        if iou_type == 'segm'
        else ('bbox', '--iou-type segm compares masks')
    )
    for place, entry in enumerate(tqdm(entries, path.name, unit=kind, delay=2, leave=False)):
        where = f'{path}: {kind} {place}'
        try:
            image_id, category_id, value = entry['image_id'], entry['category_id'], entry.get(key)
            known = image_id in index[0], category_id in index[1]
        except BAD as error:
            raise InputError(f'{where} is not COCO format ({type(error).__name__}: {error})') from error
        if not all(known):
            missing = f'category {category_id!r}' if known[0] else f'image {image_id!r}'
            raise InputError(f'{where}: the annotations have no {missing}')
        if not value:
            raise InputError(f'{where} has no "{key}" ({hint})')
        images[place], labels[place] = index[0][image_id], index[1][category_id]
        try:
            outlines[place], areas[place] = outline(value, *sizes[images[place]])
        except BAD as error:
            raise InputError(f'{where}: its "{key}" cannot be used ({type(error).__name__}: {error})') from error
    if iou_type == 'segm':
        pixels = np.array([sizes[image][0] * sizes[image][1] for image in images], int)
        lengths = rle_lengths([rle['counts'] for rle in outlines])
        for place in np.flatnonzero(lengths != pixels)[:1]:
            what = 'is cut off' if lengths[place] < 0 else f'is of {lengths[place]} pixels, not {pixels[place]}'
            raise InputError(f'{path}: {kind} {place}: its run-length code {what}')
    return images, labels, outlines, areas


def _mask(outline: list | Entry, height: int, width: int) -> tuple[Entry, float]:
    """An RLE dict and its area, from polygons or a run-length code."""
    if isinstance(outline, list):
        if len(outline[0]) < 4:
            raise ValueError('a polygon of less than two points')
        rle = coco_mask.merge(coco_mask.frPyObjects(outline, height, width))
    elif isinstance(outline['counts'], list):
        rle = coco_mask.frPyObjects(outline, height, width)
    else:
        rle = {'size': outline['size'], 'counts': outline['counts']}
    if list(rle['size']) != [height, width]:
        raise ValueError(f'its size is {rle["size"]}, that of the image {[height, width]}')
    if not rle['counts']:
        raise ValueError('an empty run-length code')
    return rle, float(coco_mask.area(rle))


def _box(box: list[float], height: int, width: int) -> tuple[list[float], float]:
    if not all(math.isfinite(side) for side in box) or min(box[2:]) < 0:
        raise ValueError('not finite, or a side is negative')
    return box, float(box[2] * box[3])
