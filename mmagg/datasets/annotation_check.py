"""Checks the boxes and masks of a COCO file: what cannot be read, and whether something is left to learn from.

Shape shorthand: n annotations.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_defects import (
    IN_FRACTIONS,
    NO_MASK,
    Defect,
    area_defect,
    box_defect,
    box_learning_defect,
    crowd_defect,
    is_polygon,
    mask_defect,
    points_defect,
    size_defect,
    within_unit,
)
from mmagg.datasets.coco_file import Entry, is_crowd, mask_lengths
from mmagg.datasets.findings import Findings
from mmagg.rle.codes import outline_to_rle, rle_boxes

CHUNK = 4096  # masks that are compared with their boxes at once
MANY = 0.5  # share of annotations that are not learnt from, from which on a word is said
CLOSE = 2.0  # pixels between a box and that of its mask: rounding
FITTING = 0.8  # IoU of the two from which on they are the same
RELATED = 0.5  # IoU from which on the box may be that of the whole of an object of which the mask is what is seen

FRACTIONS = 'in fractions of the image, 0 to 1, instead of pixels'
SCALE = "multiply x by the image's width and y by its height"
UNIT_POLYGONS = 'polygons within 0 to 1: fractions of the image, not pixels?'
CORNERS = 'boxes that read as x1, y1, x2, y2 by their masks; they must be x, y, width, height'
ELSEWHERE = 'boxes that do not fit their masks'

# Why an object is not learnt from, in the order in which it is counted.
CROWD = 'crowd (iscrowd=1; set it to 0 for single objects)'
IGNORED = 'marked "ignore"'
NO_AREA = 'of area 0 (write the area in pixels)'
NO_BOX = 'with a box smaller than a pixel or outside the image'
NO_PIXEL = 'with a mask that covers no pixel'


@dataclass
class _Objects:
    """What the annotations are as a whole.

    Attributes:
        unlearnt: number of objects by the reason why they are not learnt from.
        boxes, polygons: number of sound boxes, and of objects with polygons.
        unit_boxes, unit_polygons: labels of those of them whose coordinates are all in [0, 1].
        labels, reasons, corners, masks: of the objects to compare with their masks: label, why they are not learnt
            from, box and RLE.
    """

    unlearnt: Counter = field(default_factory=Counter)
    boxes: int = 0
    polygons: int = 0
    unit_boxes: list[str] = field(default_factory=list)
    unit_polygons: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    corners: list[list[float]] = field(default_factory=list)
    masks: list[Entry] = field(default_factory=list)


def check_outlines(
    findings: Findings, images: list[Entry], annotations: list[Entry], *, training: bool, masks: bool
) -> None:
    """Add the findings on the sizes of images and on the boxes and masks of annotations.

    Args:
        findings: what is added to.
        images: with an id, a file name and a size each.
        annotations: with ids, a box, an area and `iscrowd` each.
        training: whether it matters what objects can be learnt from.
        masks: whether masks are needed.
    """
    sizes = {}
    names = {image['id']: image['file_name'] for image in images}
    for image in images:
        defect = size_defect(image['height'], image['width'])
        if defect.kind:
            findings.add(defect.severity, defect.kind, [image['file_name']])
        else:
            sizes[image['id']] = int(image['height']), int(image['width'])
    sized = _by_turns([annotation for annotation in annotations if annotation['image_id'] in sizes])
    lengths = mask_lengths(annotation.get('segmentation') for annotation in sized)
    objects = _Objects()
    for ann, length in zip(tqdm(sized, desc='masks', unit='annotation', delay=2), lengths, strict=True):
        label = f'annotation {ann["id"]} of {names[ann["image_id"]]}'
        size = sizes[ann['image_id']]
        broken = [defect for defect in _defects(ann, length, *size, masks=masks) if defect.kind]
        for defect in broken:
            enough = 1 if defect.kind == NO_MASK else len(annotations)  # mmdet does not load a mask that is not there
            findings.add(defect.severity, defect.kind, [label], of=enough)
        if not any(defect.severity == 'fatal' for defect in broken):
            _look_at(findings, objects, ann, label, size, training=training, masks=masks)
        if len(objects.masks) == CHUNK:
            _compare(findings, objects)
    _compare(findings, objects)
    _summarise(findings, objects, annotations, training=training)


def _by_turns(annotations: list[Entry]) -> list[Entry]:
    """The first annotation of each image, then the second of each, …: so examples are of several images."""
    turns: Counter = Counter()

    def turn(annotation: Entry) -> int:
        turns[annotation['image_id']] += 1
        return turns[annotation['image_id']]

    return sorted(annotations, key=turn)


def _defects(ann: Entry, length: int, height: int, width: int, *, masks: bool) -> Iterator[Defect]:
    """Defects that keep an annotation from being read."""
    yield area_defect(ann['area'])
    yield crowd_defect(ann['iscrowd'])
    yield box_defect(ann['bbox'])
    if masks:
        yield mask_defect(ann.get('segmentation'), length, height, width)


def _look_at(
    findings: Findings, objects: _Objects, ann: Entry, label: str, size: tuple[int, int], *, training: bool, masks: bool
) -> None:
    """Judge an annotation that can be read, in an image of `size`, (height, width)."""
    box, crowd = ann['bbox'], is_crowd(ann)
    odd = box_learning_defect(box, ann['area'], *size)
    skipped = odd.kind.endswith('(skipped in training)')
    if odd.kind and (training or not skipped):
        findings.add(odd.severity, odd.kind, [label])
    reasons = (crowd, CROWD), (ann.get('ignore'), IGNORED), (ann['area'] <= 0, NO_AREA), (skipped, NO_BOX)
    reason = next((reason for true, reason in reasons if true), None)
    objects.unlearnt[reason] += 1
    if min(box[2:]) > 0:
        objects.boxes += 1
        if within_unit(box):
            objects.unit_boxes.append(label)
    if not masks:
        return
    mask = ann['segmentation']
    if isinstance(mask, list):
        points = points_defect(mask)
        if points.kind:
            findings.add(points.severity, points.kind, [label])
        if points.severity == 'fatal':
            return
        mask = [polygon for polygon in mask if is_polygon(polygon)]
        objects.polygons += 1
        if all(polygon[0] <= 1 and within_unit(polygon) for polygon in mask):
            objects.unit_polygons.append(label)
            if any(value % 1 for polygon in mask for value in polygon):
                findings.add('warning', UNIT_POLYGONS, [label])
    objects.labels.append(label)
    objects.reasons.append(reason)
    objects.corners.append([np.nan] * 4 if crowd else box)
    objects.masks.append(outline_to_rle(mask, *size))


def _compare(findings: Findings, objects: _Objects) -> None:
    """Compare the boxes of the objects at hand with their masks, and let the objects go."""
    if not objects.masks:
        return
    labels, around = np.array(objects.labels), rle_boxes(objects.masks)  # (n,), (n, 4)
    boxes = np.array(objects.corners, float)
    empty = around[:, 2] == 0
    findings.add('warning', 'masks that cover no pixel', labels[empty])
    for reason in np.array(objects.reasons, object)[empty]:
        objects.unlearnt[reason] -= 1
        objects.unlearnt[reason or NO_PIXEL] += 1
    objects.labels, objects.reasons, objects.corners, objects.masks = [], [], [], []
    mine, theirs = _as_corners(boxes), _as_corners(around)
    inner = np.minimum(mine[:, 2:], theirs[:, 2:]) - np.maximum(mine[:, :2], theirs[:, :2])
    shared = inner.clip(0).prod(1)
    union = boxes[:, 2:].clip(0).prod(1) + around[:, 2:].prod(1) - shared
    with np.errstate(invalid='ignore'):  # comparisons with the NaN of crowds are False
        odd = (np.abs(mine - theirs).max(1) > CLOSE) & (boxes[:, 2:].min(1) > 0) & ~empty
        as_corners = odd & (np.abs(boxes - theirs).max(1) <= CLOSE) & (shared < FITTING * union)
        elsewhere = odd & ~as_corners & (shared < RELATED * union)
    findings.add('warning', CORNERS, labels[as_corners])
    findings.add('warning', ELSEWHERE, labels[elsewhere])


def _as_corners(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) x, y, width, height -> x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _summarise(findings: Findings, objects: _Objects, annotations: list[Entry], *, training: bool) -> None:
    """Add what is true of all annotations or of too many."""
    in_fractions = False
    for what, count, unit in (
        ('boxes', objects.boxes, objects.unit_boxes),
        ('polygons', objects.polygons, objects.unit_polygons),
    ):
        if count and len(unit) == count:
            in_fractions = True
            for follows in (IN_FRACTIONS, UNIT_POLYGONS, CORNERS, ELSEWHERE):
                findings.kinds.pop(('warning', follows), None)
            findings.add('fatal', f'{what} {FRACTIONS} ({SCALE})', unit, of=len(annotations))
    count = len(annotations)
    if not training:
        if count and objects.unlearnt[CROWD] == count:
            findings.say('warning', f'all {count} annotations are crowds (iscrowd=1): nothing to find, so no AP')
        return
    reasons = {reason: number for reason, number in objects.unlearnt.items() if reason and number}
    unlearnt = sum(reasons.values())
    why = ', '.join(f'{reasons[r]} {r}' for r in (CROWD, IGNORED, NO_AREA, NO_BOX, NO_PIXEL) if r in reasons)
    if count and unlearnt == count and not in_fractions:
        findings.say('fatal', f'no annotation is left to learn from: {why}', everything=True)
    elif unlearnt > MANY * count and not in_fractions:
        findings.say('warning', f'nothing is learnt from {unlearnt} of {count} annotations: {why}')
