"""Annotated objects and detections of COCO files, as arrays.

Shape shorthand: I images, K classes, G objects, D detections.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

MAX_DETECTIONS = 100  # of an image and class, as COCO counts them


@dataclass(frozen=True)
class Objects:
    """Annotated objects, in the order of the file.

    Attributes:
        images: (G,) int, indices of images.
        labels: (G,) int, indices of classes.
        areas: (G,) in pixels, as annotated.
        crowd: (G,) bool: detections in such a region are neither right nor wrong.
        outlines: (G,) object array of RLE dicts, or (G, 4) boxes x, y, width, height.
    """

    images: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    outlines: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: np.ndarray) -> 'Objects':
        return Objects(**{name: values[part] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Detections:
    """Predictions, the most certain first, equally certain ones by image.

    Attributes:
        images: (D,) int, indices of images.
        labels: (D,) int, indices of classes.
        areas: (D,) in pixels, of the outlines.
        scores: (D,), finite.
        outlines: as in `Objects`.
        path: of the result file, None where there is none.
    """

    images: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    scores: np.ndarray
    outlines: np.ndarray
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice | np.ndarray) -> 'Detections':
        return replace(self, **{name: values[part] for name, values in vars(self).items() if name != 'path'})

    def counted(self, max_dets: int = MAX_DETECTIONS) -> 'Detections':
        """The detections that COCO counts: the ``max_dets`` most certain ones of each image and class, sorted."""
        ordered = self[np.lexsort((self.images, -self.scores))]  # stable: the file's order is kept where all is equal
        return ordered[ranks(ordered.images, ordered.labels) < max_dets]


@dataclass(frozen=True)
class Truth:
    """An annotation file.

    Attributes:
        iou_type: 'segm' where outlines are masks, 'bbox' where they are boxes.
        image_ids: I of them, sorted as COCO's evaluation sorts them.
        names: I file names.
        sizes: I (height, width) in pixels.
        category_ids: K of them, sorted.
        classes: K names.
        objects: G of them.
        path: of the file, None where there is none.
    """

    iou_type: str
    image_ids: tuple[int | str, ...]
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    category_ids: tuple[int | str, ...]
    classes: tuple[str, ...]
    objects: Objects
    path: Path | None = None

    def of_categories(self, category_ids: Collection[int | str]) -> 'Truth':
        """The same images with some of the categories only."""
        kept = np.array([category_id in category_ids for category_id in self.category_ids], bool)
        objects = self.objects[kept[self.objects.labels]]
        return replace(
            self,
            category_ids=tuple(itertools.compress(self.category_ids, kept)),
            classes=tuple(itertools.compress(self.classes, kept)),
            objects=replace(objects, labels=(kept.cumsum() - 1)[objects.labels]),
        )

    def of_images(self, image_ids: Collection[int | str]) -> 'Truth':
        """Some of the images only, with their objects."""
        chosen = set(image_ids)
        kept = np.array([image_id in chosen for image_id in self.image_ids], bool)
        objects = self.objects[kept[self.objects.images]]
        return replace(
            self,
            image_ids=tuple(itertools.compress(self.image_ids, kept)),
            names=tuple(itertools.compress(self.names, kept)),
            sizes=tuple(itertools.compress(self.sizes, kept)),
            objects=replace(objects, images=(kept.cumsum() - 1)[objects.images]),
        )


def more_than_count(places: Iterable[tuple], *, images: int, max_dets: int, option: str) -> str | None:
    """A line about images that hold more objects of a class than detections count; None where there is none.

    Args:
        places: the image and the class of each object.
        images: number of images.
        max_dets: detections of an image and class that count.
        option: what raises that, with a place for the number.
    """
    counts = Counter(places)
    crowded = {image for (image, _), count in counts.items() if count > max_dets}
    if not crowded:
        return None
    most = max(counts.values())
    return (
        f'images with more objects of a class than the {max_dets} detections that count: {len(crowded)} of {images}, '
        f'up to {most} objects; {option.format(most)} counts all'
    )


def ranks(*groups: np.ndarray) -> np.ndarray:
    """(D,) position of each entry among those that have the same values in all of ``groups``, (D,) each."""
    count = len(groups[0])
    order = np.lexsort(groups)
    first = np.ones(count, bool)
    first[1:] = np.any([group[order][1:] != group[order][:-1] for group in groups], axis=0)
    places = np.arange(count)
    result = np.empty(count, int)
    result[order] = places - np.maximum.accumulate(np.where(first, places, 0))
    return result
