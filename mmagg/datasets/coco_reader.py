"""Annotations and results in COCO's format as arrays: ids, categories, sizes, types and run lengths checked once."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_file import BAD, Entry, coco_format, is_crowd, read_coco, read_coco_json
from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.io.errors import InputError
from mmagg.ops.rle import outline_to_rle, rle_area
from mmagg.ops.rle_lengths import rle_lengths


def read_truth(path: Path, iou_type: str = 'segm') -> Truth:
    """Read an annotation file. Annotations of images or categories that it does not list do not count.

    Args:
        path: JSON.
        iou_type: 'segm' for masks, 'bbox' for boxes.

    Raises:
        InputError: it is not COCO format, or an annotation has no mask or box.
    """
    with _there(path):
        content = read_coco(path, filled=('images',))
    with coco_format(path):
        images = sorted(content.images, key=lambda image: image['id'])
        categories = sorted(content.categories, key=lambda category: category['id'])
        image_ids = tuple(image['id'] for image in images)
        category_ids = tuple(category['id'] for category in categories)
        names = tuple(str(image.get('file_name', image['id'])) for image in images)
        sizes = tuple((int(image['height']), int(image['width'])) for image in images)
        classes = tuple(str(category['name']) for category in categories)
        index = _index(image_ids), _index(category_ids)
        places = [
            place
            for place, entry in enumerate(content.annotations)
            if entry['image_id'] in index[0] and entry['category_id'] in index[1]
        ]
    annotations = [content.annotations[place] for place in places]
    images_of, labels, outlines, areas = _entries(path, annotations, 'annotation', places, index, sizes, iou_type)
    try:
        given = [entry.get('area') for entry in annotations]
        areas = np.array([own if area is None else float(area) for own, area in zip(areas, given, strict=True)], float)
        for place in np.flatnonzero(~np.isfinite(areas))[:1]:
            raise ValueError(f'that of annotation {places[place]} is {areas[place]}')
        crowd = np.array([is_crowd(entry) for entry in annotations], bool)
    except BAD as error:
        raise InputError(f'{path}: an "area" or "iscrowd" is no number ({error})') from error
    objects = Objects(images_of, labels, areas, crowd, outlines)
    return Truth(iou_type, image_ids, names, sizes, category_ids, classes, objects, path)


def read_detections(path: Path, truth: Truth) -> Detections:
    """Read a result file for the images of ``truth``; it may be empty.

    Raises:
        InputError: it is no result file, or not one of these annotations.
    """
    with _there(path):
        content = read_coco_json(path)
    if not isinstance(content, list):
        raise InputError(f'{path} is no COCO result file; it must hold a list of detections')
    index = _index(truth.image_ids), _index(truth.category_ids)
    places = range(len(content))
    images, labels, outlines, areas = _entries(path, content, 'detection', places, index, truth.sizes, truth.iou_type)
    scores = np.empty(len(content))
    for place, entry in enumerate(content):
        score = entry.get('score')
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise InputError(f'{path}: the score of detection {place} is {score!r}, not a finite number')
        scores[place] = score
    return Detections(images, labels, areas, scores, outlines, path).counted()


@contextmanager
def _there(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error


def _index(ids: tuple) -> dict:
    index = {name: place for place, name in enumerate(ids)}
    if len(index) < len(ids):
        raise ValueError('an id occurs twice')
    return index


def _entries(
    path: Path,
    entries: Sequence[Entry],
    kind: str,
    places: Sequence[int],
    index: tuple[dict, dict],
    sizes: tuple,
    iou_type: str,
) -> tuple[np.ndarray, ...]:
    """Images (N,), labels (N,), outlines and areas (N,) of annotations or detections, by their places in the file."""
    images, labels, areas = np.empty(len(entries), int), np.empty(len(entries), int), np.empty(len(entries))
    outlines = np.empty(len(entries), object) if iou_type == 'segm' else np.empty((len(entries), 4))
    outline = _mask if iou_type == 'segm' else _box
    key, hint = (
        ('segmentation', '--iou-type bbox compares boxes')
        if iou_type == 'segm'
        else ('bbox', '--iou-type segm compares masks')
    )
    for i, entry in enumerate(tqdm(entries, Path(path).name, unit=kind, delay=2, leave=False)):
        where = f'{path}: {kind} {places[i]}'
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
        images[i], labels[i] = index[0][image_id], index[1][category_id]
        try:
            outlines[i], areas[i] = outline(value, *sizes[images[i]])
        except BAD as error:
            raise InputError(f'{where}: its "{key}" cannot be used ({type(error).__name__}: {error})') from error
    if iou_type == 'segm':
        pixels = np.array([sizes[image][0] * sizes[image][1] for image in images], int)
        lengths = rle_lengths([rle['counts'] for rle in outlines])
        for i in np.flatnonzero(lengths != pixels)[:1]:
            what = 'is cut off' if lengths[i] < 0 else f'is of {lengths[i]} pixels, not {pixels[i]}'
            raise InputError(f'{path}: {kind} {places[i]}: its run-length code {what}')
    return images, labels, outlines, areas


def _mask(outline: list | Entry, height: int, width: int) -> tuple[Entry, float]:
    """A compressed RLE and its area, from polygons or a run-length code."""
    if isinstance(outline, list) and len(outline[0]) < 4:
        raise ValueError('a polygon of less than two points')
    rle = outline_to_rle(outline, height, width)
    if list(rle['size']) != [height, width]:
        raise ValueError(f'its size is {rle["size"]}, that of the image {[height, width]}')
    if not rle['counts']:
        raise ValueError('an empty run-length code')
    return rle, float(rle_area(rle))


def _box(box: list[float], height: int, width: int) -> tuple[list[float], float]:
    if not all(math.isfinite(side) for side in box) or min(box[2:]) < 0:
        raise ValueError('not finite, or a side is negative')
    return box, float(box[2] * box[3])
