"""A COCO annotation file as every user of it reads it: its three lists, their checks, and their optional fields."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmagg.io.errors import InputError
from mmagg.io.files import read_json
from mmagg.ops.rle_lengths import rle_lengths

Entry = dict[str, Any]
Id = int | str
PARTS = ('images', 'annotations', 'categories')
BAD = (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError)
"""Exceptions of an entry that is not as COCO has it."""


@dataclass(frozen=True)
class CocoFile:
    """The content of an annotation file, each list in its order there.

    Attributes:
        path: the file.
        images: entries with `id`, `height` and `width`, in pixels, and `file_name`.
        annotations: entries with `image_id`, `category_id`, `bbox` and `segmentation`. Their own ids are not read.
        categories: entries with `id` and `name`; a label is a place in this list, or in that of the chosen ones.
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

    def category_ids(self, classes: Collection[str] | None = None) -> list[Id]:
        """Category ids by mmdet's labels: of all categories, or of those in `classes`, in the order of the file."""
        return [category['id'] for category in self.categories if classes is None or category['name'] in classes]

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


@contextmanager
def coco_format(path: str | Path) -> Iterator[None]:
    """Turn exceptions of a block that looks at a file's entries into an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except BAD as error:
        raise InputError(f'{path} is not COCO format ({type(error).__name__}: {error})') from error


def check_annotations(content: CocoFile) -> None:
    """Make sure that annotations can be decoded and belong to the images and categories that they seem to.

    Annotations of images and categories that are not listed do not count; they may be there.

    Args:
        content: the file; without a list of images, masks are compared with their own size alone.

    Raises:
        InputError: the id of an image or category occurs twice, an annotation names one as text that is a number in
            its list or the other way round, or a run-length code is not of the size of its image.
    """
    path = content.path
    with coco_format(path):
        images = content.image_by_id
        for key, part, ids in (('image_id', 'images', images), ('category_id', 'categories', content.category_by_id)):
            sorted(ids)  # text and numbers cannot be mixed
            if len(ids) < len(getattr(content, part)):
                raise InputError(f'{path} is not COCO format: an id occurs twice in its list of {part}')
            as_text = {str(name): name for name in ids}
            for place, annotation in enumerate(content.annotations if ids else ()):
                name = annotation[key]
                if name not in ids and str(name) in as_text:
                    listed = f'that {key[:-3]} is listed as {as_text[str(name)]!r}'
                    raise InputError(f'{path}: annotation {place}: its {key} is {name!r}, but {listed}')
        rles = {}
        for place, annotation in enumerate(content.annotations):
            rle, image = annotation.get('segmentation'), images.get(annotation.get('image_id'))
            if isinstance(rle, dict):
                rles[place] = rle
                if image and list(rle['size']) != [image['height'], image['width']]:
                    sizes = f'{rle["size"]}, that of the image {[image["height"], image["width"]]}'
                    raise InputError(f'{path}: annotation {place}: the size of its run-length code is {sizes}')
        check_codes(path, list(rles.values()), list(rles))


def check_codes(path: str | Path, rles: Sequence[Entry], places: Sequence[int], kind: str = 'annotation') -> None:
    """Make sure that run-length codes are as long as their masks: pycocotools reads on behind the end of a short one.

    Args:
        path: the file.
        rles: the codes.
        places: of their entries in the file.
        kind: the name of such an entry.

    Raises:
        InputError: one is not.
    """
    lengths = rle_lengths([rle['counts'] for rle in rles]).tolist()
    for rle, place, length in zip(rles, places, lengths, strict=True):
        pixels = rle['size'][0] * rle['size'][1]
        if length != pixels:
            what = 'is cut off or broken' if length < 0 else f'is of {length} pixels, not {pixels}'
            raise InputError(f'{path}: {kind} {place}: its run-length code {what}')


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


def read_records(path: str | Path) -> list[Entry]:
    """The records of a COCO result file; they are not checked.

    Raises:
        OSError: it cannot be read.
        InputError: it is not JSON, or no list.
    """
    content = read_coco_json(path)
    if not isinstance(content, list):
        raise InputError(f'{path} is no COCO result file; it must hold a list of detections')
    return content


def is_crowd(annotation: Entry) -> int:
    """1 for a region of many objects, in which detections are neither right nor wrong; 0 where nothing is said."""
    return int(bool(int(annotation.get('iscrowd') or 0)))
