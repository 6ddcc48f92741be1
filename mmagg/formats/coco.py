"""COCO's JSON in the layouts that tools export, as `mmagg.datasets.annotation_exports` knows them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmagg.datasets.annotation_exports import annotation_files, export_files
from mmagg.datasets.coco_file import Entry, is_crowd
from mmagg.datasets.export_part import read_part
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import Instances, check_size
from mmagg.formats.source import Size, Source, SourceImage
from mmagg.io.files import read_json
from mmagg.rle.codes import masks_to_rle, outline_to_rle


def looks_like_coco(path: Path) -> bool:
    """Whether a JSON file, or the first one of a folder in a layout of a tool, has COCO's lists."""
    found = [path] if path.is_file() else export_files(path)
    content = json_or_none(found[0]) if found else None
    if not isinstance(content, dict) or is_panoptic(content):
        return False
    return {'images', 'annotations', 'categories'} <= content.keys()


def json_or_none(path: Path) -> Any:
    """The content of a JSON file; None if it is none."""
    if path.suffix.lower() != '.json':
        return None
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def coco_images(source: Source) -> list[SourceImage]:
    """The images of annotation files; masks are as pycocotools, and so COCO's evaluation, draws outlines.

    Raises:
        OSError: a file cannot be read.
        InputError: one is not COCO, or broken.
    """
    images = []
    for part, path in annotation_files(source.path).items():
        export = read_part(path, source.image_dir, source.without or Path())
        source.said.extend([f'{path}: image {name} is not there' for name in export.missing])
        source.said.extend([f'{file}: no entry in {path}' for file in export.unlisted])
        names = {category['id']: category['name'] for category in export.categories}
        objects: dict[Any, list[Entry]] = {}
        for annotation in export.annotations:
            objects.setdefault(annotation['image_id'], []).append(annotation)
        images += [
            SourceImage(file, part, partial(_read, image, objects.get(image['id'], []), names))
            for image, file in zip(export.images, export.files, strict=True)
        ]
    return images


def _read(
    image: Entry, annotations: list[Entry], names: Mapping[Any, str], size: Size, said: list[str]
) -> AnnotatedImage:
    check_size((image['height'], image['width']), size)
    instances = Instances(name=image['file_name'], size=size, said=said, classes=list(names.values()))
    for annotation in annotations:
        x, y, w, h = annotation['bbox']
        mask = annotation.get('segmentation')
        shape = masks_to_rle([outline_to_rle(mask, *size)])[0] if mask else np.array([x, y, x + w, y + h], float)
        instances.add(names[annotation['category_id']], [shape], crowd=bool(is_crowd(annotation)))
    return instances.image()


def is_panoptic(content: Mapping[str, Any]) -> bool:
    """Whether annotations have `segments_info`."""
    annotations = content.get('annotations')
    return isinstance(annotations, list) and any(isinstance(x, dict) and 'segments_info' in x for x in annotations[:1])
