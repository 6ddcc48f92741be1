"""Prediction by overlapping tiles, for images that are too large to be squeezed to what a model sees.

Shape shorthand: (H, W) image, (h, w) tile, T tiles, N pieces of objects in them, M objects.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmagg.apis.instances import found_of, instances_of
from mmagg.io.errors import InputError
from mmagg.io.image_windows import BUDGET, ImageWindows, opened
from mmagg.rle.codes import rle_boxes
from mmagg.rle.columns import MOST_PIXELS, placed_rle, resized_rle
from mmagg.rle.mask_merge import merge_pieces
from mmagg.runtime.found import Found

if TYPE_CHECKING:
    from mmengine.structures import InstanceData

SMALLEST, LARGEST_OVERLAP = 16, 0.9


def check_tiles(tile: int, overlap: float, *, flag: str = '') -> None:
    """Refuse tiles that cannot be laid out, by an `InputError`; ``flag`` stands before the arguments' names."""
    if tile < SMALLEST:
        raise InputError(f'{flag}tile {tile}: at least {SMALLEST} pixels')
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise InputError(f'{flag}overlap {overlap}: a share of a tile, from 0 to {LARGEST_OVERLAP}')


def tile_grid(height: int, width: int, *, tile: int, overlap: float) -> np.ndarray:
    """The tiles of an image, row by row: (T, 4) integers x1, y1, x2, y2.

    The last ones of a row and a column are moved inside, so that all are of one size and none is padded. An image that
    is smaller than a tile is one.

    Args:
        height: H, in pixels.
        width: W.
        tile: side of a tile in pixels.
        overlap: share of a tile that its neighbour sees, too; that of a moved one is larger.
    """
    step = max(1, round(tile * (1 - overlap)))
    x, y = ([*range(0, max(side - tile, 0), step), max(side - tile, 0)] for side in (width, height))
    return np.array([[left, top, min(left + tile, width), min(top + tile, height)] for top in y for left in x])


def predict_tiles(
    predict: 'Callable[[list[np.ndarray]], Sequence[InstanceData]]',
    image: str | Path | np.ndarray,
    *,
    tile: int = 1024,
    overlap: float = 0.2,
    full_image: bool = False,
    batch_size: int = 1,
    class_agnostic: bool = False,
    threshold: float = 0.5,
    max_detections: int | None = None,
    budget: int = BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> 'InstanceData':
    """Predict an image tile by tile, and merge what borders cut; see `mmagg.rle.mask_merge`.

    One batch of tiles is in memory, and all masks as RLE; the image itself where it takes no more than the budget.

    Args:
        predict: from (h, w, 3) uint8 BGR images to `labels`, `scores`, `bboxes` (x1, y1, x2, y2) and `masks`, (n, h, w)
            bool or n RLE dicts, of each.
        image: a file or an array as of `opened`.
        tile: side of a tile in pixels.
        overlap: share of a tile that its neighbour sees, too.
        full_image: predict the whole image as well, its longer side squeezed to that of a tile, for what is larger
            than a tile.
        batch_size: most images for `predict` at once.
        class_agnostic: merge pieces of different classes; the best one's counts.
        threshold: least measure of pieces that are merged.
        max_detections: only so many objects, the best ones.
        budget: bytes of a decoded image; larger ones are read by windows.
        progress: is called with the number of tiles that are done, and of all.

    Returns:
        M objects by descending score, on the CPU: `scores`, the best one of the pieces, `labels`, `bboxes`, around the
        mask where it is merged, `masks`, RLE dicts of the image; and `ori_shape`, (H, W).

    Raises:
        InputError: the image cannot be read, or has too many pixels; `predict` gives no masks; or an argument is out of
            range.
    """

    def found(tiles: list[np.ndarray]) -> list[Found]:
        return [found_of(one, part.shape[:2]) for one, part in zip(predict(tiles), tiles, strict=True)]

    objects = found_in_tiles(
        found,
        image,
        tile=tile,
        overlap=overlap,
        full_image=full_image,
        batch_size=batch_size,
        class_agnostic=class_agnostic,
        threshold=threshold,
        max_detections=max_detections,
        budget=budget,
        progress=progress,
    )
    return instances_of(objects)


def found_in_tiles(
    predict: Callable[[list[np.ndarray]], Sequence[Found]],
    image: str | Path | np.ndarray,
    *,
    tile: int = 1024,
    overlap: float = 0.2,
    full_image: bool = False,
    batch_size: int = 1,
    class_agnostic: bool = False,
    threshold: float = 0.5,
    max_detections: int | None = None,
    budget: int = BUDGET,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """`predict_tiles` in NumPy: what is found in an image, by what a function finds in its tiles."""
    check_tiles(tile, overlap)
    if batch_size < 1:
        raise InputError(f'batch_size {batch_size}: should be at least 1')
    with opened(image, budget=budget) as windows:
        size = windows.height, windows.width
        if size[0] * size[1] > MOST_PIXELS:
            raise InputError(
                f'{size[1]} × {size[0]} pixels: masks have up to {MOST_PIXELS:,}; cut the image into parts'
            )
        tiles = tile_grid(*size, tile=tile, overlap=overlap)
        if full_image and len(tiles) > 1:
            tiles = np.concatenate([tiles, [[0, 0, size[1], size[0]]]])
        pieces = Pieces(size)
        for start in range(0, len(tiles), batch_size):
            batch = range(start, min(start + batch_size, len(tiles)))
            parts = [_part(windows, tiles[i], tile) for i in batch]
            for i, part, found in zip(batch, parts, predict(parts), strict=True):
                pieces.add(i, tiles[i], part.shape[:2], found)
            if progress is not None:
                progress(batch.stop, len(tiles))
    return pieces.merged(tiles, threshold=threshold, class_agnostic=class_agnostic, most=max_detections)


def _part(windows: ImageWindows, rectangle: np.ndarray, tile: int) -> np.ndarray:
    """A tile, or the whole image squeezed to the size of one, (h, w, 3)."""
    x1, y1, x2, y2 = rectangle.tolist()
    longer = max(x2 - x1, y2 - y1)
    if longer <= tile:
        return np.ascontiguousarray(windows.read(x1, y1, x2 - x1, y2 - y1))
    height, width = (max(1, round(side * tile / longer)) for side in (y2 - y1, x2 - x1))
    return windows.squeezed(height, width)


class Pieces:
    """What is found in tiles, in the frame of their image.

    Args:
        size: (H, W) of the image.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.masks: list[dict] = []
        self.rest: list[np.ndarray] = []  # (n, 7): box, score, label, tile

    def add(self, tile: int, rectangle: np.ndarray, shape: tuple[int, int], found: Found) -> None:
        """Add what is found in a tile that the model saw as an image of (h, w) pixels."""
        masks = [rle for rle in found.rles if rle is not None]
        if len(masks) < len(found.labels):
            raise InputError('the model finds no masks, by which tiles are merged')
        x1, y1, x2, y2 = rectangle.tolist()
        if shape != (y2 - y1, x2 - x1):
            masks = [resized_rle(rle, (y2 - y1, x2 - x1)) for rle in masks]
        self.masks += [placed_rle(rle, x1, y1, self.size) for rle in masks]
        scale = np.array([(x2 - x1) / shape[1], (y2 - y1) / shape[0]] * 2)
        boxes = found.boxes * scale + np.tile(rectangle[:2], 2)
        rest = [found.scores[:, None], found.labels[:, None], np.full((len(masks), 1), tile)]
        self.rest.append(np.concatenate([boxes, *rest], axis=1))

    def merged(self, rectangles: np.ndarray, *, threshold: float, class_agnostic: bool, most: int | None) -> Found:
        """The objects, as of `predict_tiles`."""
        rest = np.concatenate([np.zeros((0, 7)), *self.rest])
        boxes, scores, (labels, tiles) = rest[:, :4], rest[:, 4], rest[:, 5:].astype(np.int64).T
        objects = merge_pieces(
            self.masks, scores, labels, tiles, rectangles, threshold=threshold, class_agnostic=class_agnostic
        )[:most]
        best = [one.members[0] for one in objects]
        around = [_box_of(one.mask) if one.kept is None else boxes[one.kept] for one in objects]
        return Found(
            size=self.size,
            boxes=np.array(around, np.float32).reshape(-1, 4),
            scores=scores[best].astype(np.float32),
            labels=labels[best],
            rles=tuple(one.mask for one in objects),
        )


def _box_of(rle: dict) -> np.ndarray:
    x, y, w, h = rle_boxes([rle])[0]
    return np.array([x, y, x + w, y + h])
