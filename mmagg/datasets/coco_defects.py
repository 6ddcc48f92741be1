"""Defects of a COCO annotation's box and mask: their severity for training, and their kind.

A fatal defect ends a run or quietly spoils it: mmdet's `CocoDataset` and `LoadAnnotations` or the evaluation of
pycocotools raise, or masks and labels end up on the wrong object. Objects with a warning are skipped by mmdet itself.
"""

import math
from typing import Any, Literal

from mmagg.ops.rle import compressed, outline_to_rle, rle_area

Severity = Literal['fatal', 'warning']
Defect = tuple[Severity, str]
"""Severity and kind; ('warning', '') where nothing is wrong."""

NONE: Defect = ('warning', '')
BORDER = 1.0  # pixels that a box may reach beyond the image: rounding
FAR = 1e6  # pixels; pycocotools crashes on polygons with coordinates far beyond


def box_defect(box: list, area: float, height: int, width: int) -> Defect:
    """The worst defect of a box.

    Args:
        box: x, y, width, height in pixels, or anything that stands in their place.
        area: of the object in pixels.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    if len(box) != 4 or not _numbers(box):
        return 'fatal', 'boxes that are not four numbers (x, y, width, height)'
    x, y, w, h = box
    if w < 1 or h < 1 or area <= 0:
        return 'warning', 'boxes smaller than a pixel or without area (skipped in training)'
    if min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0):
        return 'warning', 'boxes outside the image (skipped in training)'
    if min(x, y) < -BORDER or x + w > width + BORDER or y + h > height + BORDER:
        return 'warning', 'boxes that reach beyond the image'
    return NONE


def mask_defect(segmentation: Any, length: int, height: int, width: int) -> Defect:
    """The worst defect of a mask.

    Args:
        segmentation: polygons or RLE, or anything that stands in their place.
        length: pixels of the RLE by `rle_lengths`; not read for polygons.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    if not segmentation:
        return 'fatal', 'annotations without a mask ("segmentation" is missing or empty)'
    if isinstance(segmentation, list):
        return _polygon_defect(segmentation, height, width)
    if isinstance(segmentation, dict):
        return _rle_defect(segmentation, length, height, width)
    return 'fatal', 'masks that are neither polygons nor RLE'


def _polygon_defect(polygons: list, height: int, width: int) -> Defect:
    if not all(isinstance(polygon, list) and _numbers(polygon) for polygon in polygons):
        return 'fatal', 'polygons that are not lists of numbers'
    if any(abs(v) > FAR for polygon in polygons for v in polygon):
        return 'fatal', 'polygons far outside the image'
    usable = [polygon for polygon in polygons if len(polygon) >= 6 and len(polygon) % 2 == 0]
    if not usable:
        return 'fatal', 'masks without a polygon of at least three points (x, y)'
    if not rle_area(outline_to_rle(usable, height, width)):
        return 'warning', 'masks that cover no pixel'
    if len(polygons[0]) <= 4:
        # The evaluation takes the first polygon for a box; training would skip it.
        return 'fatal', 'masks whose first polygon has fewer than three points'
    if len(usable) < len(polygons):
        return 'warning', 'masks with a polygon that training skips (not three or more points x, y)'
    return NONE


def _rle_defect(rle: dict, length: int, height: int, width: int) -> Defect:
    if rle.get('size') != [height, width]:
        return 'fatal', 'RLE masks whose size is not [height, width] of the image'
    if length < 0:
        return 'fatal', 'RLE masks that cannot be decoded'
    if length != height * width:
        return 'fatal', 'RLE masks whose runs do not add up to the image'
    if not rle_area(compressed(rle)):
        return 'warning', 'masks that cover no pixel'
    return NONE


def _numbers(values: Any) -> bool:
    """True if all values of a list are finite numbers."""
    return all(isinstance(v, int | float) and math.isfinite(v) for v in values)
