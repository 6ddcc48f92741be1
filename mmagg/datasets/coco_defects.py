"""Defects of the entries of a COCO file: each is tested and described here alone.

`coco_file` refuses a file at its first fatal defect, naming its place; `coco_check` collects and counts them all.

A fatal defect ends a run or quietly spoils it: mmdet's `CocoDataset` and `LoadAnnotations` or the evaluation of
pycocotools raise, hang or crash, or masks and labels end up on the wrong object. Objects with a warning are skipped by
mmdet itself.
"""

import math
import os
import sys
from collections.abc import Collection
from reprlib import repr as shortened
from typing import Any, Literal, NamedTuple

import numpy as np

Severity = Literal['fatal', 'warning', 'note']


class Defect(NamedTuple):
    """What is wrong with an entry.

    Attributes:
        severity: for training.
        kind: what is said of all entries that have it; empty where nothing is wrong.
        here: what is said of this one; empty where that is the kind.
    """

    severity: Severity
    kind: str
    here: str = ''

    def __str__(self) -> str:
        return self.here or self.kind


NONE = Defect('warning', '')
BORDER = 1.0  # pixels that a box may reach beyond the image: rounding
FAR = 1e6  # pixels; pycocotools crashes on polygons with coordinates far beyond
LONGEST = 4e6  # pixels of an outline, which pycocotools walks along in steps of a fifth: a second and 400 MB
LARGEST = 2**30  # pixels of an image: OpenCV reads no larger one
# What CocoDataset or COCOeval read without a default, by its types. None: an id, text or a whole number of any size.
NEEDED: dict[str, dict[str, type | tuple[type, ...] | None]] = {
    'images': {'id': None, 'file_name': str, 'width': (int, float), 'height': (int, float)},
    'annotations': {
        'id': None,
        'image_id': None,
        'category_id': None,
        'bbox': list,
        'area': (int, float),
        'iscrowd': int,
    },
    'categories': {'id': None, 'name': str},
}
IN_FRACTIONS = 'boxes smaller than a pixel within 0 to 1: fractions of the image, not pixels? (skipped in training)'

NO_MASK = (
    'annotations without a mask (these are boxes: draw outlines, remove them, or learn from boxes with configs/boxinst)'
)


def is_id(value: Any) -> bool:
    """Whether a value can be an id: text or a whole number of any size."""
    return isinstance(value, str) or is_whole(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, such as 64 or 64.0; True and False are none."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def is_finite(value: Any) -> bool:
    """Whether a value is a number that fits a float; JSON's NaN, Infinity and integers of 400 digits do not."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def unusable_key(part: str, entry: dict, keys: Collection[str] = ()) -> str | None:
    """The first key that an entry lacks or has something else at, None where all are there.

    Args:
        part: its list, of `NEEDED`.
        entry: the entry.
        keys: those to look at, default all of `NEEDED`.
    """
    for key, types in NEEDED[part].items():
        value = entry.get(key)
        if (not keys or key in keys) and not (is_id(value) if types is None else isinstance(value, types)):
            return key
    return None


def name_defect(name: str) -> Defect:
    """What keeps a text from being the name of a file: a zero byte, or characters that file names here cannot have."""
    try:
        if b'\0' not in os.fsencode(name):
            return NONE
        reason = 'has a zero byte'
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        hint = '' if encoding == 'utf-8' else ', the encoding of file names here (set PYTHONUTF8=1)'
        reason = f'cannot be written in {encoding}{hint}'
    return Defect('fatal', f'images whose "file_name" {reason}', f'its file_name, {shortened(name)}, {reason}')


def size_defect(height: Any, width: Any) -> Defect:
    """The defect of an image's size in pixels, or of what stands in its place."""
    size = f'its size, {shortened(width)} x {shortened(height)} (width x height),'
    if not (is_whole(height) and is_whole(width)):
        return Defect('fatal', 'images whose width or height is not a whole number', f'{size} is not in whole pixels')
    if min(height, width) < 1:
        return Defect('fatal', 'images whose width or height is not positive', f'{size} is not positive')
    if height * width > LARGEST:
        return Defect('fatal', 'images of more than 2^30 pixels', f'{size} is more than 2^30 pixels')
    return NONE


def box_defect(box: Any) -> Defect:
    """What keeps a box x, y, width, height in pixels from being read: always fatal."""
    if isinstance(box, list) and len(box) == 4 and all(map(is_finite, box)):
        return NONE
    return Defect('fatal', 'boxes that are not four numbers (x, y, width, height)')


def box_learning_defect(box: list, area: float, height: int, width: int) -> Defect:
    """The worst of what keeps an object from being learnt, or is odd about its box; always a warning.

    Args:
        box: x, y, width, height in pixels; sound by `box_defect`.
        area: of the object in pixels.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    x, y, w, h = box
    if (w < 1 or h < 1) and min(w, h) > 0 and within_unit(box):
        return Defect('warning', IN_FRACTIONS)
    if w < 1 or h < 1 or area <= 0:
        return Defect('warning', 'boxes smaller than a pixel or without area (skipped in training)')
    if min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0):
        return Defect('warning', 'boxes outside the image (skipped in training)')
    if min(x, y) < -BORDER or x + w > width + BORDER or y + h > height + BORDER:
        return Defect('warning', 'boxes that reach beyond the image')
    return NONE


def within_unit(values: list) -> bool:
    """Whether all numbers are in [0, 1], as those of coordinates in fractions of the image."""
    return min(values) >= 0 and max(values) <= 1


def area_defect(area: Any) -> Defect:
    """The defect of an area in pixels that is no number."""
    return NONE if is_finite(area) else Defect('fatal', 'annotations whose "area" is not a finite number')


def crowd_defect(flag: Any) -> Defect:
    """The defect of what says whether an annotation is a region of many objects."""
    try:
        known = int(flag or 0) in (0, 1)
    except (TypeError, ValueError, OverflowError):
        here = f'its "iscrowd" is {shortened(flag)}, not 0 or 1'
        return Defect('fatal', 'annotations whose "iscrowd" is not a number', here)
    return NONE if known else Defect('warning', 'annotations whose "iscrowd" is neither 0 nor 1 (counted as crowds)')


def mask_defect(segmentation: Any, length: int, height: int | None, width: int | None) -> Defect:
    """What keeps a mask from being read: always fatal.

    Args:
        segmentation: polygons or RLE, or anything that stands in their place.
        length: pixels of the RLE by `rle_lengths`; not read for polygons.
        height: of the image in pixels; None where it is not known.
        width: of the image in pixels, likewise.
    """
    if not segmentation:
        return Defect('fatal', NO_MASK)
    if isinstance(segmentation, list):
        return _polygon_defect(segmentation)
    if isinstance(segmentation, dict):
        return _rle_defect(segmentation, length, height, width)
    return Defect('fatal', 'masks that are neither polygons nor RLE')


def points_defect(polygons: list) -> Defect:
    """What keeps polygons from being masks in training: too few points. The numbers are sound already."""
    usable = [polygon for polygon in polygons if is_polygon(polygon)]
    if not usable:
        return Defect('fatal', 'masks without a polygon of at least three points (x, y)')
    if len(polygons[0]) <= 4:
        # The evaluation takes the first polygon for a box; training would skip it.
        return Defect('fatal', 'masks whose first polygon has fewer than three points')
    if len(usable) < len(polygons):
        return Defect('warning', 'masks with a polygon that training skips (not three or more points x, y)')
    return NONE


def is_polygon(polygon: list) -> bool:
    """Whether a list of coordinates is of three points or more; mmdet skips others in training."""
    return len(polygon) >= 6 and len(polygon) % 2 == 0


def _polygon_defect(polygons: list) -> Defect:
    for polygon in polygons:
        values = _numbers(polygon)
        low, high = (0, 0) if values is None else (values.min(initial=0), values.max(initial=0))
        if values is None or np.isnan(low):
            return Defect('fatal', 'polygons that are not lists of numbers')
        if low < -FAR or high > FAR:
            return Defect('fatal', 'polygons far outside the image')
        # The first is a bound, and quicker.
        if (high - low) * len(values) / 2 > LONGEST and _outline_length(values) > LONGEST:
            return Defect('fatal', f'polygons whose outline is longer than {LONGEST:,.0f} pixels')
    return NONE


def _numbers(polygon: Any) -> np.ndarray | None:
    """The coordinates of a polygon; None if they are not a list of numbers."""
    try:
        values = np.array(polygon if isinstance(polygon, list) else None)
    except (ValueError, OverflowError):  # lists in it, a number of 400 digits
        return None
    return values if values.ndim == 1 and values.dtype.kind in 'iuf' else None


def _outline_length(values: np.ndarray) -> float:
    """Steps of a pixel along a closed outline x0, y0, x1, y1, ...."""
    points = values[: len(values) // 2 * 2].reshape(-1, 2).astype(float)
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum())


def _rle_defect(rle: dict, length: int, height: int | None, width: int | None) -> Defect:
    size: Any = rle.get('size')
    whole = isinstance(size, list | tuple) and len(size) == 2 and all(type(side) is int for side in size)
    if not whole or (height is not None and [*size] != [height, width]):
        wanted = 'not [height, width]' if height is None else f'that of the image {[height, width]}'
        here = f'the size of its run-length code is {shortened(size)}, {wanted}'
        return Defect('fatal', 'RLE masks whose size is not [height, width] of the image', here)
    if (defect := size_defect(*size)).kind:
        return defect
    if length < 0:
        return Defect('fatal', 'RLE masks that cannot be decoded', 'its run-length code is cut off or broken')
    if length != size[0] * size[1]:
        here = f'its run-length code is of {length} pixels, not {size[0] * size[1]}'
        return Defect('fatal', 'RLE masks whose runs do not add up to the image', here)
    return NONE
