"""A COCO annotation file as every user of it reads it: its three lists, and what its optional fields mean."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmagg.io.errors import InputError
from mmagg.io.files import read_json

Entry = dict[str, Any]
Id = int | str
PARTS = ('images', 'annotations', 'categories')
BAD = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError)
"""What an entry raises that is not as COCO has it."""


@dataclass(frozen=True)
class CocoFile:
    """The content of an annotation file, each list in its order there.

    Attributes:
        path: the file.
        images: entries with `id`, `height` and `width`, in pixels, and `file_name`.
        annotations: entries with `image_id`, `category_id`, `bbox` and `segmentation`. Their ids mean nothing here.
        categories: entries with `id` and `name`; mmdet's labels count them.
    """

    path: Path
    images: list[Entry]
    annotations: list[Entry]
    categories: list[Entry]

    @cached_property
    def image_by_id(self) -> dict[Id, Entry]:
        """The images by their id, in order."""
        return {image['id']: image for image in self.images}

    @cached_property
    def category_by_id(self) -> dict[Id, Entry]:
        """The categories by their id, in order."""
        return {category['id']: category for category in self.categories}

    @cached_property
    def annotations_by_image(self) -> dict[Id, list[Entry]]:
        """The annotations of each image, listed or not, that has some."""
        found: dict[Id, list[Entry]] = {}
        for annotation in self.annotations:
            found.setdefault(annotation['image_id'], []).append(annotation)
        return found


def read_coco(
    path: str | Path, *, needed: Collection[str] = ('images', 'categories'), filled: Collection[str] = ()
) -> CocoFile:
    """Read an annotation file.

    Args:
        path: JSON.
        needed: the lists of `PARTS` that must be there; the others count as empty, as annotations do in COCO's
            `image_info_*.json`.
        filled: those that must not be empty.

    Raises:
        OSError: it cannot be read.
        InputError: it is not JSON, or a list is missing or empty.
    """
    content = read_coco_json(path)
    if not isinstance(content, dict):
        raise InputError(f'{path} is not COCO format: a dict of {", ".join(PARTS)}')
    for part in PARTS:
        if part in needed and not isinstance(content.get(part), list):
            raise InputError(f'{path} is not COCO format: it has no list "{part}"')
        if part in filled and not content[part]:
            raise InputError(f'{path} has no {part}: its list "{part}" is empty')
    return CocoFile(Path(path), *(content.get(part) or [] for part in PARTS))


def read_coco_json(path: str | Path) -> Any:
    """The content of a JSON file in one of COCO's formats.

    Raises:
        OSError: it cannot be read.
        InputError: it is not JSON.
    """
    try:
        return read_json(path)
    except ValueError as error:  # bad JSON and bad UTF-8
        raise InputError(f'{path} is not JSON, so it is not COCO format: {error}') from error


def is_crowd(annotation: Entry) -> int:
    """1 for a region of many objects, in which detections are neither right nor wrong; 0 where nothing is said."""
    return int(bool(int(annotation.get('iscrowd') or 0)))


def annotated_area(annotation: Entry, own: float) -> float:
    """The area of an object in pixels, which tells sizes apart; that of its outline where none is annotated."""
    area = annotation.get('area')
    return own if area is None else float(area)
