"""Annotated objects and detections of an image, side by side: what is right, what is wrong, what is missed."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from mmagg.datasets.coco_objects import Detections, Objects, Truth
from mmagg.evaluation.matching import evaluate, most_overlapped, overlaps
from mmagg.io.errors import InputError
from mmagg.io.image_windows import opened_or_read
from mmagg.rle.columns import resized_rle
from mmagg.visualization.overlay import draw_instances
from mmagg.visualization.text import Colour
from mmagg.visualization.titled_row import Titled, titled_row

LEAST_SIDE = 320  # pixels; smaller images are enlarged to about this side, so that labels do not cover them
SAME = 0.5  # IoU of a detection and the object that it finds, or takes for one of another class
GREEN, MAGENTA, YELLOW, RED = (115, 158, 0), (190, 60, 200), (0, 200, 245), (40, 50, 215)  # BGR
BLUE, ORANGE, GREY = (178, 114, 0), (0, 126, 230), (150, 150, 150)
OTHER = 'not counted'  # crowd regions, and what lies in them
OF_DETECTIONS = {'right': GREEN, 'wrong class': YELLOW, 'false alarm': RED, OTHER: GREY}
OF_OBJECTS = {'found': GREEN, 'missed': MAGENTA, OTHER: GREY}
OF_OBJECTS_OF_TWO = {'found by both': GREEN, 'A only': BLUE, 'B only': ORANGE, 'missed': MAGENTA, OTHER: GREY}


def side_by_side(
    image: int, truth: Truth, detections: Mapping[str, Detections], *, folder: Path, score_thr: float, side: int
) -> np.ndarray:
    """An image with its annotated objects, and once more with each of ``detections``, coloured by what became of them.

    Each panel has its title, and a legend with counts: detections are right, of a wrong class or false alarms; objects
    are found, by one or both of the results, or missed.

    Args:
        image: its index.
        truth: the annotations.
        detections: one result by its title, or two, A and B.
        folder: of the images.
        score_thr: detections with a lower score are left out.
        side: pixels of a panel's longer side at most. What is drawn on it is to be seen at this size.

    Returns:
        (height, width, 3) uint8, BGR.

    Raises:
        InputError: the image cannot be read, or has another size than the annotations say.
    """
    path = folder / truth.names[image]
    with opened_or_read(path) as windows:
        whole = windows.height, windows.width
        if whole != truth.sizes[image]:
            raise InputError(f'{path}: {whole} (height, width), the annotations say {truth.sizes[image]}')
        longer = max(whole)
        factor = side / longer if longer > side else max(1, min(round(LEAST_SIDE / longer), side // longer))
        height, width = (max(1, round(factor * length)) for length in whole)
        picture = windows.squeezed(height, width) if factor < 1 else windows.read(0, 0, whole[1], whole[0])
    if factor >= 1:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)

    def panel(title: str, things: Objects | Detections, verdicts: np.ndarray, meanings: Mapping[str, Colour]) -> Titled:
        masks, boxes = None, None
        if truth.iou_type == 'segm':
            masks = [resized_rle(rle, (height, width)) for rle in things.outlines]
        else:
            boxes = factor * np.concatenate(
                [things.outlines[:, :2], things.outlines[:, :2] + things.outlines[:, 2:]], axis=1
            )
        scores = things.scores if isinstance(things, Detections) else None
        colours = np.array([meanings[verdict] for verdict in verdicts], np.uint8).reshape(-1, 3)
        drawn = draw_instances(picture, masks, things.labels, scores, boxes, truth.classes, colours)
        legend = [
            (colour, f'{meaning} {(verdicts == meaning).sum()}')
            for meaning, colour in meanings.items()
            if meaning != OTHER or (verdicts == meaning).any()
        ]
        return Titled(drawn, title, legend)

    objects = truth.objects[truth.objects.images == image]
    panels, found_by = [], []
    for title, result in detections.items():
        mine = result[(result.images == image) & (result.scores >= score_thr)]
        verdicts, found = judged(objects, mine)
        panels.append(panel(title, mine, verdicts, OF_DETECTIONS))
        found_by.append(found)
    meanings = OF_OBJECTS if len(found_by) == 1 else OF_OBJECTS_OF_TWO
    cases = found_by if len(found_by) == 1 else [np.logical_and(*found_by), *found_by]
    outcome = np.select([*cases, ~objects.crowd], list(meanings)[:-1], OTHER)
    return titled_row([panel('annotated', objects, outcome, meanings), *panels])


def judged(objects: Objects, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts on the detections in an image, (D,) str of `OF_DETECTIONS`, and the objects that they find, (G,) bool.

    An object is found if a detection of its class overlaps it by `SAME`, and that detection is right. Another one has
    the wrong class if it overlaps an object of another class so. What lies in a crowd region does not count.
    """
    pairs = overlaps(detections, objects)
    outcome = evaluate(detections, objects, pairs, thresholds=np.array([SAME]))
    right, wrong, matches = outcome.true[0, 0], outcome.false[0, 0], outcome.matches[0, 0]
    unlike = detections.labels[pairs.detections] != objects.labels[pairs.objects]
    of_others, _ = most_overlapped(pairs.where(unlike & ~objects.crowd[pairs.objects]), len(detections))
    verdicts = np.select([right, wrong & (of_others >= SAME), wrong], list(OF_DETECTIONS)[:-1], OTHER)
    return verdicts, np.isin(np.arange(len(objects)), matches[right])
