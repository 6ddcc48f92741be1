"""Images with instances as objects of other packages, which need not be installed."""

from importlib import import_module
from typing import Any

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.io.errors import InputError
from mmagg.rle.codes import decode_mask, decode_window, mask_box, rle_area

COLUMNS = ('image', 'label', 'class', 'score', 'track', 'x1', 'y1', 'x2', 'y2', 'area')


def package(name: str) -> Any:
    """A package that is imported when it is asked for.

    Raises:
        InputError: it is not installed; with the line that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{name}: cannot be imported ({error}): pip install 'mmagg[{name}]'") from error


def supervision_detections(image: AnnotatedImage) -> Any:
    """``supervision.Detections``: xyxy (N, 4), mask (N, H, W) bool, confidence, class_id, tracker_id, class_name.

    Raises:
        InputError: supervision is not installed.
    """
    supervision = package('supervision')
    masks = None
    if None not in image.masks:
        masks = np.zeros((len(image), *image.size), bool)
        for mask, rle in zip(masks, image.masks, strict=True):
            mask[:] = decode_mask(rle)  # type: ignore[arg-type]  # there is no None among them
    return supervision.Detections(
        xyxy=image.boxes.astype(np.float32).reshape(-1, 4),
        mask=masks,
        confidence=None if image.scores is None else np.asarray(image.scores, np.float32),
        class_id=np.asarray(image.labels, int),
        tracker_id=None if image.tracks is None else np.asarray(image.tracks, int),
        data={'class_name': np.array([image.classes[label] for label in image.labels.tolist()], dtype=str)},
    )


def fiftyone_detections(image: AnnotatedImage) -> Any:
    """``fiftyone.Detections``: boxes as shares of the image, masks in their boxes.

    FiftyOne stretches a mask over its box, so the box is that around the pixels where there is a mask.

    Raises:
        InputError: FiftyOne is not installed.
    """
    fiftyone = package('fiftyone')
    height, width = image.size
    detections = []
    for i, label in enumerate(image.labels.tolist()):
        rle = image.masks[i]
        x1, y1, x2, y2 = image.boxes[i].astype(float).tolist()
        x, y, w, h = (x1, y1, x2 - x1, y2 - y1) if rle is None else mask_box(rle)
        more: dict[str, Any] = {} if image.scores is None else {'confidence': float(image.scores[i])}
        if image.tracks is not None:
            more['index'] = int(image.tracks[i])
        if rle is not None and w:
            more['mask'] = decode_window(rle, mask_box(rle)).astype(bool)
        box = [x / width, y / height, w / width, h / height]
        detections.append(fiftyone.Detection(label=image.classes[label], bounding_box=box, **more))
    return fiftyone.Detections(detections=detections)


def table_rows(image: AnnotatedImage) -> list[tuple]:
    """A row of `COLUMNS` for each instance; None where there is no value, and areas in pixels."""
    rows = []
    for i, label in enumerate(image.labels.tolist()):
        box = image.boxes[i].astype(float).tolist()
        rle = image.masks[i]
        score = None if image.scores is None else float(image.scores[i])
        track = None if image.tracks is None else int(image.tracks[i])
        area = (box[2] - box[0]) * (box[3] - box[1]) if rle is None else rle_area(rle)
        rows.append((image.name, label, image.classes[label], score, track, *box, area))
    return rows


def pandas_table(image: AnnotatedImage) -> Any:
    """A ``pandas.DataFrame`` of `COLUMNS`.

    Raises:
        InputError: pandas is not installed.
    """
    return package('pandas').DataFrame(table_rows(image), columns=list(COLUMNS))
