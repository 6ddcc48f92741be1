"""Annotations and results in COCO's format as arrays: ids, categories, sizes, types and run lengths checked once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_defects import box_defect, is_finite, mask_defect
from mmagg.datasets.coco_file import (
    BAD,
    PARTS,
    Entry,
    Id,
    check_annotations,
    check_id,
    check_keys,
    coco_format,
    in_order,
    is_crowd,
    mask_lengths,
    read_coco,
    read_records,
    refuse,
)
from mmagg.datasets.coco_objects import MAX_DETECTIONS, Detections, Objects, Truth
from mmagg.io.errors import InputError
from mmagg.rle.codes import outline_to_rle, rle_area

HINTS = {'segmentation': '--iou-type bbox compares boxes', 'bbox': '--iou-type segm compares masks'}


def read_truth(path: Path, iou_type: str = 'segm') -> Truth:
    """Read an annotation file. Annotations of images or categories that it does not list do not count.

    Args:
        path: JSON.
        iou_type: 'segm' for masks, 'bbox' for boxes.

    Raises:
        InputError: it is not COCO format, `check_annotations` refuses it, or an annotation has no mask or box.
    """
    if iou_type not in ('segm', 'bbox'):
        raise InputError(f'--iou-type {iou_type}: choose segm or bbox')
    with _there(path):
        content = read_coco(path, needed=PARTS, filled=('images',))
    check_annotations(content)
    check_keys(path, 'category', content.categories, 'name')
    with coco_format(path):
        images, categories = content.image_by_id, content.category_by_id
        image_ids, category_ids = in_order(images), in_order(categories)
        names = tuple(str(images[one].get('file_name', one)) for one in image_ids)
        sizes = tuple((int(images[one]['height']), int(images[one]['width'])) for one in image_ids)
        classes = tuple(str(categories[one]['name']) for one in category_ids)
    annotations = {
        place: entry
        for place, entry in enumerate(content.annotations)
        if entry['image_id'] in images and entry['category_id'] in categories
    }
    columns = _columns(path, annotations, 'annotation', (image_ids, category_ids), sizes, iou_type)
    images_of, labels, outlines, areas = columns
    crowd = np.array([is_crowd(entry) for entry in annotations.values()], bool)
    for i, entry in enumerate(annotations.values()):
        if entry.get('area') is not None:
            areas[i] = entry['area']
    objects = Objects(images_of, labels, areas, crowd, outlines)
    return Truth(iou_type, image_ids, names, sizes, category_ids, classes, objects, path)


def read_detections(path: Path, truth: Truth, *, max_dets: int = MAX_DETECTIONS) -> Detections:
    """Read a result file for the images of ``truth``; it may be empty.

    Args:
        path: JSON.
        truth: the annotations.
        max_dets: detections of an image and class that count; the others are left out.

    Raises:
        InputError: it is no result file, or not one of these annotations.
    """
    with _there(path):
        content = read_records(path)
    entries, ids = dict(enumerate(content)), (truth.image_ids, truth.category_ids)
    images, labels, outlines, areas = _columns(path, entries, 'detection', ids, truth.sizes, truth.iou_type)
    for place, entry in entries.items():
        score = entry.get('score')
        if not is_finite(score):
            raise InputError(f'{path}: the score of detection {place} is {shortened(score)}, not a finite number')
    scores = np.array([entry['score'] for entry in content], float)
    return Detections(images, labels, areas, scores, outlines, path).counted(max_dets)


@contextmanager
def _there(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error


def _columns(
    path: Path,
    entries: Mapping[int, Entry],
    kind: str,
    ids: tuple[Sequence[Id], Sequence[Id]],
    sizes: Sequence[tuple[int, int]],
    iou_type: str,
) -> tuple[np.ndarray, ...]:
    """Images (N,), labels (N,), outlines and areas (N,) of annotations or detections, given by place in the file."""
    image_index, label_index = ({one: index for index, one in enumerate(part)} for part in ids)
    images, labels, areas = np.empty(len(entries), int), np.empty(len(entries), int), np.empty(len(entries))
    outlines: np.ndarray = np.empty(len(entries), object) if iou_type == 'segm' else np.empty((len(entries), 4))
    key, outline = ('segmentation', _mask) if iou_type == 'segm' else ('bbox', _box)
    items = tqdm(entries.items(), Path(path).name, unit=kind, delay=2, leave=False)
    if kind == 'detection':  # annotations are checked already
        check_keys(path, kind, entries.values(), 'image_id', 'category_id')
    lengths = (
        mask_lengths(entry.get('segmentation') for entry in entries.values())
        if kind == 'detection'
        else [0] * len(entries)
    )
    for i, ((place, entry), length) in enumerate(zip(items, lengths, strict=True)):
        where = f'{path}: {kind} {place}'
        image_id, category_id, value = entry['image_id'], entry['category_id'], entry.get(key)
        check_id(path, kind, place, 'image_id', image_id)
        check_id(path, kind, place, 'category_id', category_id)
        image, label = image_index.get(image_id), label_index.get(category_id)
        if image is None or label is None:
            missing = f'image {image_id!r}' if image is None else f'category {category_id!r}'
            raise InputError(f'{where}: the annotations have no {missing}')
        if not value:
            raise InputError(f'{where} has no "{key}" ({HINTS[key]})')
        if iou_type == 'bbox':
            refuse(path, kind, place, [box_defect(value)])
        elif kind == 'detection':
            refuse(path, kind, place, [mask_defect(value, length, *sizes[image])])
        images[i], labels[i] = image, label
        try:
            outlines[i], areas[i] = outline(value, *sizes[image])
        except BAD as error:
            raise InputError(f'{where}: its "{key}" cannot be used ({type(error).__name__}: {error})') from error
    return images, labels, outlines, areas


def _mask(outline: list | Entry, height: int, width: int) -> tuple[Entry, float]:
    """A compressed RLE and its area, from polygons or a run-length code."""
    if isinstance(outline, list) and len(outline[0]) < 4:
        raise ValueError('a polygon of less than two points')
    rle = outline_to_rle(outline, height, width)
    return rle, float(rle_area(rle))


def _box(box: list[float], height: int, width: int) -> tuple[list[float], float]:
    """A box x, y, width, height as it is, and its area."""
    if min(box[2:]) < 0:
        raise ValueError('a side is negative')
    return box, float(box[2] * box[3])
