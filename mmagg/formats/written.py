"""The formats of a file for one image, by name."""

import csv
import io
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco import coco_json
from mmagg.formats.geojson import geojson
from mmagg.formats.label_studio import label_studio_task
from mmagg.formats.packages import COLUMNS, table_rows
from mmagg.io.errors import InputError


class Format(NamedTuple):
    """A format of one file an image.

    Attributes:
        suffix: of the file.
        text: the file's content.
    """

    suffix: str
    text: Callable[[AnnotatedImage], str]


def _table(image: AnnotatedImage) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator='\n').writerows([COLUMNS, *table_rows(image)])
    return file.getvalue()


def _yolo(image: AnnotatedImage) -> str:
    return ''.join(f'{line}\n' for line in import_module('mmagg.formats.yolo').yolo_lines(image))


def _labelme(image: AnnotatedImage) -> str:
    return json.dumps(import_module('mmagg.formats.labelme').labelme_json(image))


FORMATS = {
    'coco': Format('.json', lambda image: json.dumps(coco_json([image], image.classes))),
    'yolo': Format('.txt', _yolo),
    'labelme': Format('.json', _labelme),
    'label_studio': Format('.json', lambda image: json.dumps([label_studio_task(image)])),
    'geojson': Format('.geojson', lambda image: json.dumps(geojson(image))),
    'csv': Format('.csv', _table),
}
"""By name; the first of a suffix is the one that the suffix stands for."""


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of a name, or else the one that the suffix of a file stands for.

    Raises:
        InputError: there is none.
    """
    if name is not None:
        if name not in FORMATS:
            raise InputError(f'format {name}: choose {", ".join(FORMATS)}')
        return FORMATS[name]
    for one in FORMATS.values():
        if one.suffix == path.suffix.lower():
            return one
    known = ', '.join(dict.fromkeys(one.suffix for one in FORMATS.values()))
    raise InputError(f'{path}: no format has the suffix {path.suffix!r}; take .jpg, .png, {known}')
