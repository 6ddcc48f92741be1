"""The objects of an annotation file as arrays: boxes, areas and centres of mass. No image is read, no mask is drawn.

Shape shorthand: I images, N objects of all images, (H, W) an image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_file import CocoFile, Entry, coco_format, is_crowd
from mmagg.datasets.network_sizes import Size
from mmagg.rle.codes import outline_to_rle
from mmagg.rle.mass import rle_mass


@dataclass(frozen=True)
class AnnotatedObjects:
    """Objects with a mask, without crowds: by image, in the order of the file within one.

    Attributes:
        sizes: (height, width) of the I images.
        images: (N,) index of each object's image, ascending.
        boxes: (N, 4) x1, y1, x2, y2 as annotated, float64 pixels.
        areas: (N,) pixels of the masks.
        centres: (N, 2) of mass, x and y; a pixel's centre is a whole number.
    """

    sizes: Sequence[Size]
    images: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sides(self) -> np.ndarray:
        """(N,) sqrt(w * h) of the boxes in pixels, by which SOLO chooses levels."""
        return np.sqrt((self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1))

    @classmethod
    def joined(cls, parts: Sequence['AnnotatedObjects']) -> 'AnnotatedObjects':
        """Those of several files, one after the other."""
        before = np.cumsum([0, *(len(part.sizes) for part in parts)])
        return cls(
            [size for part in parts for size in part.sizes],
            np.concatenate([part.images + start for part, start in zip(parts, before, strict=False)]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ('boxes', 'areas', 'centres')),
        )


def annotated_objects(content: CocoFile, images: Sequence[Entry] | None = None) -> AnnotatedObjects:
    """Measure the objects of listed categories.

    Args:
        content: an annotation file that `check_annotations` has passed.
        images: those of its images that count; None: all.

    Raises:
        InputError: a mask cannot be read.
    """
    images = content.images if images is None else images
    sizes = [(int(image['height']), int(image['width'])) for image in images]
    numbers, columns = [], []
    with coco_format(content.path):
        for index, image in enumerate(tqdm(images, 'images', delay=2, leave=False)):
            usable = [one for one in content.annotations_by_image.get(image['id'], ()) if has_mask(one, content)]
            areas, centres = rle_mass([outline_to_rle(one['segmentation'], *sizes[index]) for one in usable])
            boxes = np.array([one['bbox'] for one in usable], float).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            kept = areas > 0
            numbers.append(np.full(int(kept.sum()), index))
            columns.append((boxes[kept], areas[kept], centres[kept]))
    return AnnotatedObjects(sizes, np.concatenate(numbers), *map(np.concatenate, zip(*columns, strict=True)))


def has_mask(annotation: Entry, content: CocoFile) -> bool:
    """Whether it is an object of a listed category, with a mask and a box."""
    known = annotation['category_id'] in content.category_by_id
    return bool(known and annotation.get('segmentation') and annotation.get('bbox') and not is_crowd(annotation))


def pairs_of_images(images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of objects of one image, in blocks; memory of O(N). Within a block no object is twice on a side.

    Args:
        images: (N,) index of each object's image, ascending.

    Yields:
        indices of the first and of the second objects.
    """
    first: np.ndarray = np.arange(len(images))
    for step in range(1, len(images)):  # each object with the one `step` places after it
        first = first[first + step < len(images)]
        first = first[images[first] == images[first + step]]
        if not len(first):
            return
        yield first, first + step
