"""The formats of a file for one image, by name."""

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco_json import coco_json
from mmagg.formats.geojson import geojson
from mmagg.formats.label_studio import label_studio_task
from mmagg.formats.packages import COLUMNS, table_rows
from mmagg.io.errors import InputError
from mmagg.io.files import write_text


class Format(NamedTuple):
    """A format of one file an image.

    Attributes:
        folder: for the files of several images.
        suffix: of the file.
        text: the file's content.
        classes_file: where the names of the classes go, below that of all formats; None where each file has them.
        by_path: the file names its image by the path from its own folder.
    """

    folder: str
    suffix: str
    text: Callable[[AnnotatedImage], str]
    classes_file: str | None = None
    by_path: bool = False


def _table(image: AnnotatedImage) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator='\n').writerows([COLUMNS, *table_rows(image)])
    return file.getvalue()


def _yolo(image: AnnotatedImage) -> str:
    return ''.join(f'{line}\n' for line in import_module('mmagg.formats.yolo').yolo_lines(image))


def _labelme(image: AnnotatedImage) -> str:
    return json.dumps(import_module('mmagg.formats.labelme').labelme_json(image))


FORMATS = {
    'coco': Format('coco', '.json', lambda image: json.dumps(coco_json([image], image.classes))),
    'yolo': Format('yolo/labels', '.txt', _yolo, 'yolo/classes.txt'),
    'labelme': Format('labelme', '.json', _labelme, by_path=True),
    'label_studio': Format('label_studio', '.json', lambda image: json.dumps([label_studio_task(image)])),
    'geojson': Format('geojson', '.geojson', lambda image: json.dumps(geojson(image))),
    'csv': Format('csv', '.csv', _table),
}
"""By name; the first of a suffix is the one that the suffix stands for."""


def write_image_file(image: AnnotatedImage, file: Path, kind: Format, *, path: Path | None = None) -> None:
    """Write an image's file, whole or not at all.

    Args:
        image: its instances.
        file: which is written.
        kind: of the file.
        path: of the image's own file.
    """
    if kind.by_path and path is not None:
        image = replace(image, name=Path(os.path.relpath(path, file.parent)).as_posix())
    write_text(kind.text(image), file)


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
