"""The masks of a COCO annotation file, each cropped to its box and resized to one small size.

Shape shorthand: N masks, m mask size.
"""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor
from tqdm import tqdm

from mmagg.datasets.coco_file import BAD, Entry, check_annotations, check_keys, coco_format, is_crowd, read_coco
from mmagg.io.errors import InputError
from mmagg.models.targets import box_mask_targets
from mmagg.rle.codes import decode_mask

CHUNK = 64  # masks that a process draws at once; those of run-length codes are as large as their image
LARGE = 2**28  # pixels of run-length codes, from which on masks are drawn one by one


@dataclass(frozen=True)
class ObjectMasks:
    """Binary masks in their boxes, one bit per pixel: COCO's 850,000 at 28 x 28 take 83 MB.

    Attributes:
        bits: (N, ⌈m²/8⌉) uint8.
        areas: (N,) of the objects in pixels of the image, as annotated.
        labels: (N,) int64, indices into `classes`.
        classes: names in the order of the file, which is that of mmdet's labels.
        size: m.
    """

    bits: np.ndarray
    areas: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    size: int

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, part: slice | np.ndarray) -> 'ObjectMasks':
        return ObjectMasks(self.bits[part], self.areas[part], self.labels[part], self.classes, self.size)

    def pixels(self, device: str | torch.device = 'cpu') -> Tensor:
        """The masks as (N, m, m) uint8."""
        flat = np.unpackbits(self.bits, axis=1, count=self.size**2)
        return torch.from_numpy(flat).to(device).unflatten(1, (self.size, self.size))

    def chunks(self, length: int | None = None) -> Iterator['ObjectMasks']:
        """The masks in parts of `length`, by default up to 4096 and 2²² pixels; the last may be shorter."""
        length = length or max(1, min(4096, 2**22 // self.size**2))
        return (self[start : start + length] for start in range(0, len(self), length))


def read_masks(ann_file: Path, *, size: int, workers: int | None = None) -> ObjectMasks:
    """The masks of an annotation file as a detector is trained on them (`box_mask_targets`).

    As in mmdet, crowds, objects without an area or smaller than a pixel, and polygons of less than three points are
    left out. Run-length codes are sampled, so that holes stay.

    Args:
        ann_file: COCO-format JSON.
        size: m.
        workers: processes; None: one for each core.

    Raises:
        OSError: it cannot be read.
        InputError: it is not COCO format, has no masks, or one that cannot be read.
    """
    content = read_coco(ann_file, needed=('annotations', 'categories'))
    check_annotations(content)
    check_keys(ann_file, 'category', content.categories, 'name')
    label_of = {category_id: label for label, category_id in enumerate(content.category_ids())}
    classes = tuple(category['name'] for category in content.categories)
    objects = []
    for place, annotation in enumerate(content.annotations):
        with coco_format(f'{ann_file}: annotation {place}'):
            if not (outline := _usable(annotation)):
                continue
            category, box, area = annotation['category_id'], annotation['bbox'], float(annotation['area'])
        if category not in label_of:
            raise InputError(f'{ann_file}: annotation {place}: its category_id, {category!r}, is not in the categories')
        objects.append((outline, box, area, label_of[category]))
    if not objects:
        count = len(content.annotations)
        raise InputError(f'{ann_file}: no mask in its {count} annotations ("segmentation", crowds not counted)')
    del content
    outlines, boxes, areas, labels = zip(*objects, strict=True)
    chunks = [
        (outlines[start : start + CHUNK], boxes[start : start + CHUNK], size) for start in range(0, len(boxes), CHUNK)
    ]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    bits = []
    with tqdm(total=len(boxes), desc=f'masks of {Path(ann_file).name}', unit='mask') as bar:
        try:
            for part in _in_order(chunks, workers):
                bits.append(part)
                bar.update(len(part))
        except BAD as error:
            raise InputError(f'{ann_file} has a mask that cannot be read ({type(error).__name__}: {error})') from error
    return ObjectMasks(np.concatenate(bits), np.array(areas), np.array(labels), classes, size)


def _usable(annotation: Entry) -> list | dict | None:
    """The object's polygons or run-length code; None if it is left out."""
    outline = annotation.get('segmentation')
    if is_crowd(annotation) or not outline or annotation['area'] <= 0 or min(annotation['bbox'][2:]) < 1:
        return None
    if isinstance(outline, list):
        return [polygon for polygon in outline if len(polygon) >= 6 and len(polygon) % 2 == 0]
    return outline


def _in_order(chunks: Sequence[tuple], workers: int) -> Iterator[np.ndarray]:
    if workers == 1:
        yield from map(_rasterise, chunks)
        return
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(_rasterise, chunks)


def _rasterise(chunk: tuple[Sequence[list | dict], Sequence[list[float]], int]) -> np.ndarray:
    """Outlines, boxes (x, y, width, height) and m -> (n, ⌈m²/8⌉) bits."""
    outlines, boxes, size = chunk
    corners = torch.tensor(boxes, dtype=torch.float32)  # not int64, which RLE cannot be sampled at
    corners[:, 2:] += corners[:, :2]
    pixels = sum(math.prod(outline['size']) for outline in outlines if isinstance(outline, dict))
    step = len(outlines) if pixels <= LARGE else 1
    parts = [
        box_mask_targets([_as_mmdet(one) for one in outlines[i : i + step]], corners[i : i + step].split(1), size=size)
        for i in range(0, len(outlines), step)
    ]
    return np.packbits(torch.cat(parts).flatten(1).numpy(), axis=1)


def _as_mmdet(outline: list | dict) -> PolygonMasks | BitmapMasks:
    """One object's mask; polygons need no image size, as they are drawn in the box alone."""
    if isinstance(outline, list):
        return PolygonMasks([[np.array(polygon, dtype=float) for polygon in outline]], 1, 1)
    return BitmapMasks(decode_mask(outline)[None].view(np.uint8), *outline['size'])
