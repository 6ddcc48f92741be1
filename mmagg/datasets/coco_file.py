"""A COCO annotation file as every user of it reads it: its three lists, their checks, and their optional fields."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from mmagg.datasets.coco_defects import (
    NEEDED,
    Defect,
    area_defect,
    box_defect,
    crowd_defect,
    is_id,
    mask_defect,
    name_defect,
    size_defect,
    unusable_key,
)
from mmagg.io.errors import InputError
from mmagg.io.files import read_json
from mmagg.rle.lengths import rle_lengths

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
    return coco_file(path, read_coco_json(path), needed=needed, filled=filled)


def coco_file(
    path: str | Path,
    content: Any,
    *,
    needed: Collection[str] = ('images', 'categories'),
    filled: Collection[str] = (),
) -> CocoFile:
    """The lists of an annotation file whose content is read already; sizes written as 64.0 become whole in place.

    Args:
        path: of the file.
        content: its JSON.
        needed: as in `read_coco`.
        filled: likewise.

    Raises:
        InputError: a list is missing or empty.
    """
    if isinstance(content, list) and any(
        isinstance(task, dict) and {'data', 'annotator'} & task.keys() for task in content
    ):
        raise InputError(f'{path} is of Label Studio, not COCO; export as COCO')
    if not isinstance(content, dict):
        raise InputError(f'{path} is not COCO format: a dict of {", ".join(PARTS)}')
    for part in PARTS:
        if (part in needed or part in content) and not isinstance(content.get(part), list):
            raise InputError(f'{path} is not COCO format: it has no list "{part}"')
        if part in filled and not content[part]:
            raise InputError(f'{path} has no {part}: its list "{part}" is empty')
    images, annotations, categories = (content.get(part) or [] for part in PARTS)
    whole_sizes(images)
    return CocoFile(Path(path), images, annotations, categories)


def whole_sizes(images: Iterable[Any]) -> None:
    """Turn heights and widths that are written as 64.0 into integers, as masks need them, in place."""
    for image in images:
        for side in ('height', 'width') if isinstance(image, dict) else ():
            if isinstance(image.get(side), float) and image[side].is_integer():
                image[side] = int(image[side])


def in_order(ids: Iterable[Id]) -> tuple[Id, ...]:
    """The ids as COCO's evaluation goes through them: numbers ascend; texts, whose 10 is before 2, stay in order.

    So equal scores rank as they would if the same file were numbered 1, 2, 3, ....
    """
    ids = tuple(dict.fromkeys(ids))
    return ids if any(isinstance(one, str) for one in ids) else tuple(sorted(ids))


@contextmanager
def coco_format(path: str | Path) -> Iterator[None]:
    """Turn exceptions of a block that looks at a file's entries into an `InputError` that names the file."""
    try:
        yield
    except InputError:
        raise
    except BAD as error:
        raise InputError(f'{path} is not COCO format ({type(error).__name__}: {error})') from error


def check_keys(path: str | Path, kind: str, entries: Iterable[Any], *keys: str) -> None:
    """Make sure that entries are dicts with some keys.

    Args:
        path: the file.
        kind: the name of such an entry.
        entries: all of the file, in order.
        keys: what each must have.

    Raises:
        InputError: one is no dict, or has not all keys; the message says which one.
    """
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f'{path} is not COCO format: {kind} {place} is {shortened(entry)}, not a dict')
        for key in keys:
            if key not in entry:
                raise InputError(f'{path} is not COCO format: {kind} {place} has no "{key}"')


def check_annotations(content: CocoFile) -> None:
    """Make sure that annotations can be decoded and belong to the images and categories that they seem to.

    Annotations of images and categories that are not listed do not count; they may be there. So may those without a
    box, a mask or an area.

    Args:
        content: the file; without a list of images, masks are compared with their own size alone.

    Raises:
        InputError: an id is neither text nor a whole number, occurs twice, or text and numbers are mixed; an annotation
            names an image or category as text that is a number in its list or the other way round; the size of an image
            is not of whole pixels; or a box, mask, area or `iscrowd` has a fatal defect of `coco_defects`.
    """
    path = content.path
    with coco_format(path):
        for kind, entries in (('image', content.images), ('category', content.categories)):
            check_keys(path, kind, entries, 'id')
            for place, entry in enumerate(entries):
                check_id(path, kind, place, 'id', entry['id'])
        check_keys(path, 'annotation', content.annotations)
        for key, part, ids in (
            ('image_id', 'images', content.image_by_id),
            ('category_id', 'categories', content.category_by_id),
        ):
            if len({isinstance(one, str) for one in ids}) > 1:
                raise InputError(f'{path} is not COCO format: text and numbers are mixed in the ids of its {part}')
            if len(ids) < len(getattr(content, part)):
                raise InputError(f'{path} is not COCO format: an id occurs twice in its list of {part}')
            check_keys(path, 'annotation', content.annotations if ids else (), key)
            as_text = {str(name): name for name in ids}
            for place, annotation in enumerate(content.annotations if ids else ()):
                name = annotation[key]
                check_id(path, 'annotation', place, key, name)
                if name not in ids and str(name) in as_text:
                    listed = f'that {key[:-3]} is listed as {as_text[str(name)]!r}'
                    raise InputError(f'{path}: annotation {place}: its {key} is {name!r}, but {listed}')
        check_keys(path, 'image', content.images, 'height', 'width')
        for place, image in enumerate(content.images):
            refuse(path, 'image', place, [size_defect(image['height'], image['width'])])
        lengths = mask_lengths(annotation.get('segmentation') for annotation in content.annotations)
        for place, (annotation, length) in enumerate(zip(content.annotations, lengths, strict=True)):
            refuse(path, 'annotation', place, _unreadable(annotation, length, content.image_by_id))


def check_text(path: str | Path, kind: str, place: int, key: str, value: Any) -> None:
    """Make sure that the value of a key of an entry is text.

    Raises:
        InputError: it is not; the message names the file, the entry and the key.
    """
    if not isinstance(value, str):
        raise InputError(f'{path} is not COCO format: {kind} {place}: its {key} is {shortened(value)}, not text')


def check_id(path: str | Path, kind: str, place: int, key: str, value: Any) -> None:
    """Make sure that the value of a key of an entry can be an id.

    Raises:
        InputError: it is neither text nor a whole number; the message names the file, the entry and the key.
    """
    if not is_id(value):
        where = f'{kind} {place}: its {key}'
        raise InputError(f'{path} is not COCO format: {where} is {shortened(value)}, neither text nor a whole number')


def check_loadable(content: CocoFile) -> None:
    """Make sure that mmdet's `CocoDataset` can load a file: `check_annotations`, and the keys that it needs are there.

    Raises:
        InputError: the message names the first entry that is not so, or two annotations of one id.
    """
    check_annotations(content)
    for part, kind in (('images', 'image'), ('annotations', 'annotation'), ('categories', 'category')):
        keys = NEEDED[part].keys() - {'iscrowd'}  # of which mmdet has a default
        for place, entry in enumerate(getattr(content, part)):
            if key := unusable_key(part, entry, keys):
                what = f'has no usable "{key}"' if key in entry else f'has no "{key}"'
                raise InputError(f'{content.path} is not COCO format: {kind} {place} {what}')
    for place, image in enumerate(content.images):
        refuse(content.path, 'image', place, [name_defect(image['file_name'])])
    places: dict[Id, int] = {}
    for place, annotation in enumerate(content.annotations):
        refuse(content.path, 'annotation', place, [box_defect(annotation['bbox'])])
        if (before := places.setdefault(annotation['id'], place)) != place:
            raise InputError(f'{content.path}: annotations {before} and {place} have the same id, {annotation["id"]!r}')


def _unreadable(annotation: Entry, length: int, images: Mapping[Id, Entry]) -> Iterator[Defect]:
    """Defects of what an annotation has; the fatal ones keep it from being read."""
    yield crowd_defect(annotation.get('iscrowd'))
    if annotation.get('area') is not None:
        yield area_defect(annotation['area'])
    image_id: Any = annotation.get('image_id')
    image = images.get(image_id) or {'height': None, 'width': None}
    if annotation.get('bbox'):
        yield box_defect(annotation['bbox'])
    if annotation.get('segmentation'):
        yield mask_defect(annotation['segmentation'], length, image['height'], image['width'])


def refuse(path: str | Path, kind: str, place: int, defects: Iterable[Defect]) -> None:
    """Name the first fatal defect of an entry, with the file and its place there.

    Args:
        path: the file.
        kind: the name of such an entry.
        place: of the entry.
        defects: those that it has.

    Raises:
        InputError: one is fatal.
    """
    for defect in defects:
        if defect.severity == 'fatal':
            raise InputError(f'{path}: {kind} {place}: {defect}')


def mask_lengths(masks: Iterable[Any]) -> list[int]:
    """Pixels of run-length codes, as `mask_defect` wants them: -1 for broken ones, 0 for other masks."""
    counts = [mask.get('counts') if isinstance(mask, dict) else '' for mask in masks]
    return rle_lengths([code if isinstance(code, str | list) else [-1] for code in counts]).tolist()


def read_coco_json(path: str | Path) -> Any:
    """The content of a JSON file in one of COCO's formats.

    Raises:
        OSError: it cannot be read.
        InputError: it is not JSON.
    """
    try:
        return read_json(path)
    except ValueError as error:  # bad JSON and bad UTF-8
        if not Path(path).stat().st_size:
            raise InputError(f'{path} is empty, so it is not COCO format; export the annotations again') from error
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
