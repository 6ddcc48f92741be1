"""The formats of a file for one image, by name."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco_json import coco_json
from mmagg.formats.geojson import geojson
from mmagg.formats.label_studio import label_studio_task
from mmagg.formats.packages import COLUMNS, table_rows
from mmagg.io.errors import InputError
from mmagg.io.files import write_text

GEOTIFF = ('.tif', '.tiff')


class ImageFile(NamedTuple):
    """A file of one image.

    Attributes:
        file: its path.
        image: the path of the image's own file; None for an image in memory.
        tolerance: pixels by which its outlines may be simplified.
    """

    file: Path
    image: Path | None
    tolerance: float = 0.0


class Format(NamedTuple):
    """A format of one file an image.

    Attributes:
        folder: for the files of several images.
        suffix: of the file.
        text: the file's content.
        classes_file: where the names of the classes go, below the folder of all formats; None where each file has them.
        simplified: whether its outlines may be simplified.
    """

    folder: str
    suffix: str
    text: Callable[[AnnotatedImage, ImageFile], str]
    classes_file: str | None = None
    simplified: bool = False


def _coco(image: AnnotatedImage, place: ImageFile) -> str:
    return json.dumps(coco_json([image], image.classes))


def _yolo(image: AnnotatedImage, place: ImageFile) -> str:
    lines = import_module('mmagg.formats.yolo').yolo_lines(image, tolerance=place.tolerance)
    return ''.join(f'{line}\n' for line in lines)


def _labelme(image: AnnotatedImage, place: ImageFile) -> str:
    if place.image is not None:  # labelme opens it by its path from the file
        image = replace(image, name=Path(os.path.relpath(place.image, place.file.parent)).as_posix())
    return json.dumps(import_module('mmagg.formats.labelme').labelme_json(image, tolerance=place.tolerance))


def _label_studio(image: AnnotatedImage, place: ImageFile) -> str:
    return json.dumps([label_studio_task(image)])


def _geojson(image: AnnotatedImage, place: ImageFile) -> str:
    """Of a GeoTIFF, in the coordinates of its map where rasterio is there to read its place; else in pixels."""
    found = None
    if place.image is not None and place.image.suffix.lower() in GEOTIFF and find_spec('rasterio'):
        found = import_module('mmagg.io.map_position').map_position(place.image)
    return json.dumps(geojson(image) if found is None else geojson(image, transform=found.transform, crs=found.crs))


def _table(image: AnnotatedImage, place: ImageFile) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator='\n').writerows([COLUMNS, *table_rows(image)])
    return file.getvalue()


FORMATS = {
    'coco': Format('coco', '.json', _coco),
    'yolo': Format('yolo/labels', '.txt', _yolo, 'yolo/classes.txt', simplified=True),
    'labelme': Format('labelme', '.json', _labelme, simplified=True),
    'label_studio': Format('label_studio', '.json', _label_studio),
    'geojson': Format('geojson', '.geojson', _geojson),
    'csv': Format('csv', '.csv', _table),
}
"""By name; the first of a suffix is the one that the suffix stands for."""


def write_image_file(
    image: AnnotatedImage, file: Path, kind: Format, *, path: Path | None = None, tolerance: float = 0.0
) -> None:
    """Write an image's file, whole or not at all.

    Args:
        image: its instances.
        file: which is written.
        kind: of the file.
        path: of the image's own file.
        tolerance: pixels by which outlines may be simplified, see `check_tolerance`.
    """
    write_text(kind.text(image, ImageFile(file, path, tolerance)), file)


def check_tolerance(tolerance: float, kinds: Iterable[Format]) -> None:
    """Refuse a tolerance that is negative, or with which none of the formats does anything.

    Raises:
        InputError: it is that.
    """
    if not tolerance >= 0:
        raise InputError(f'tolerance {tolerance:g}: should be at least 0')
    if tolerance and not any(kind.simplified for kind in kinds):
        names = ' and '.join(name for name, kind in FORMATS.items() if kind.simplified)
        raise InputError(f'tolerance: for the outlines of {names} alone; leave it out')


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
