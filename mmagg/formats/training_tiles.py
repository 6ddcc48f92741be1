"""Large images with their masks cut into overlapping tiles to train on."""

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.source import Size
from mmagg.io.images import KEPT_SUFFIXES
from mmagg.io.paths import fitting
from mmagg.rle.codes import decode_window, masks_to_rle, rle_area, rle_boxes

Window = tuple[int, int, int, int]
"""x, y, w, h in pixels, inside the image."""


def tile_windows(size: Size, tile: int, overlap: float) -> list[Window]:
    """Windows of `tile` pixels a side that cover an image, or of its side where that is shorter.

    They are equally far apart, so that all are whole, and overlap by the share or more.

    Args:
        size: (H, W).
        tile: pixels.
        overlap: share of a tile's side, from 0 to below 1.
    """
    height, width = size
    tops, lefts = (_starts(side, tile, overlap) for side in (height, width))
    return [(x, y, min(tile, width), min(tile, height)) for y in tops for x in lefts]


def tile_of(image: AnnotatedImage, window: Window, *, min_piece: float) -> AnnotatedImage:
    """The part of an image in a window, its masks cut exactly.

    Args:
        image: with N instances.
        window: of it.
        min_piece: share of an object's area below which a piece of it is a crowd: neither an object to be learnt, nor
            background where evaluation counts detections.
    """
    x, y, w, h = window
    frame = np.array([x, y, x, y])
    boxes = (image.boxes - frame).clip(0, [w, h, w, h])
    masks, kept, pieces = [], [], []
    for place in np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)):
        mask = image.masks[place]
        if mask is None:
            old, new = (float(np.prod(box[2:] - box[:2])) for box in (image.boxes[place], boxes[place]))
            cut = None
        else:
            (cut,) = masks_to_rle(decode_window(mask, window)[None])
            old, new = rle_area(mask), rle_area(cut)
            left, top, wide, high = rle_boxes([cut])[0]
            boxes[place] = left, top, left + wide, top + high
        if new:
            masks.append(cut)
            kept.append(place)
            pieces.append(new < min_piece * old)
    crowd = np.array(pieces, bool) | (image.crowd[kept] if image.crowd is not None else False)
    return replace(
        image,
        name=tile_name(image.name, window),
        size=(h, w),
        labels=image.labels[kept],
        masks=masks,
        boxes=boxes[kept],
        crowd=crowd if crowd.any() else None,
    )


def tile_name(name: str, window: Window) -> str:
    """The name of a tile, `NAME_X_Y`, of JPEG or PNG; see `fitting` for long ones."""
    path = PurePosixPath(name)
    kept = path.suffix.lower() in KEPT_SUFFIXES
    stem, suffix = (path.stem, path.suffix) if kept else (path.name, '.png')
    return str(path.with_name(fitting(f'{stem}_{window[0]}_{window[1]}{suffix}')))


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    if side <= tile:
        return [0]
    count = int(np.ceil((side - tile) / (tile * (1 - overlap)) - 1e-9)) + 1
    return np.linspace(0, side - tile, count).round().astype(int).tolist()
