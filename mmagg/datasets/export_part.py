"""The images of an annotation file that have a file, and what is annotated in them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmagg.datasets.annotation_exports import find_images, image_folder_of, refuse_other_formats
from mmagg.datasets.coco_file import PARTS, Entry, check_loadable, coco_file, read_coco_json
from mmagg.io.errors import InputError


@dataclass(frozen=True)
class ExportPart:
    """Images with their files and annotations.

    Attributes:
        other: what the annotation file has besides its three lists, as `info` and `licenses`.
        images: entries of the images that have a file.
        files: theirs.
        annotations: of these images.
        categories: all that are listed.
        missing: `file_name` of images without a file.
        unlisted: files of images without an entry.
    """

    other: dict[str, Any]
    images: list[Entry]
    files: list[Path]
    annotations: list[Entry]
    categories: list[Entry]
    missing: list[str]
    unlisted: list[Path]

    def only(self, chosen: np.ndarray) -> 'ExportPart':
        """Some of the images, (I,) bool."""
        images = [image for image, one in zip(self.images, chosen, strict=True) if one]
        files = [file for file, one in zip(self.files, chosen, strict=True) if one]
        return ExportPart(self.other, images, files, _of(images, self.annotations), self.categories, [], [])

    def counts(self) -> np.ndarray:
        """(I, C), the objects of each category in each image."""
        rows = {image['id']: place for place, image in enumerate(self.images)}
        columns = {category['id']: place for place, category in enumerate(self.categories)}
        counts = np.zeros((len(rows), len(columns)), int)
        for annotation in self.annotations:
            counts[rows[annotation['image_id']], columns[annotation['category_id']]] += 1
        return counts


def read_part(path: Path, image_dir: Path | None, out: Path) -> ExportPart:
    """Read an annotation file and find its images.

    Args:
        path: of the file.
        image_dir: folder of the images; None: in the layout of an export.
        out: a folder that is not searched for images.

    Raises:
        OSError: it cannot be read.
        InputError: it is not COCO, an entry is broken or belongs to nothing, a name of a category or a file stands
            twice, several files fit an image, no image has a file, or one has none and a folder may not be read.
    """
    content = read_coco_json(path)
    refuse_other_formats(path, content)
    coco = coco_file(path, content, needed=PARTS, filled=PARTS)
    check_loadable(coco)
    for name, times in Counter(category['name'] for category in coco.categories).items():
        if times > 1:
            raise InputError(f'{path} lists the category name {name!r} twice; make it unique')
    for place, annotation in enumerate(coco.annotations):
        for key, listed in (('image_id', coco.image_by_id), ('category_id', coco.category_by_id)):
            if annotation[key] not in listed:
                raise InputError(f'{path}: annotation {place}: its {key}, {annotation[key]!r}, is not listed')
    folder = image_dir or image_folder_of(path)
    names = [image['file_name'] for image in coco.images]
    found = find_images(names, folder, without=out)
    with_file = [(image, file) for image, file in zip(coco.images, found.files, strict=True) if file is not None]
    if found.unread and None in found.files:
        lost, fault = found.files.count(None), found.unread[0]
        raise InputError(
            f'{path}: {lost} of its {len(names)} images are not found, and {fault.filename} cannot be read: '
            f'{fault.strerror}'
        )
    if not with_file:
        raise InputError(f'{path}: none of its {len(names)} images is in {folder}; name their folder with --images')
    images, files = (list(column) for column in zip(*with_file, strict=True))
    missing = [name for name, file in zip(names, found.files, strict=True) if file is None]
    other = {key: value for key, value in content.items() if key not in PARTS}
    return ExportPart(other, images, files, _of(images, coco.annotations), coco.categories, missing, found.unlisted)


def _of(images: list[Entry], annotations: list[Entry]) -> list[Entry]:
    """The annotations of some images."""
    ids = {image['id'] for image in images}
    return [annotation for annotation in annotations if annotation['image_id'] in ids]
