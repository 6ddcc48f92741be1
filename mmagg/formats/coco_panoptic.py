"""COCO panoptic: a JSON of segments, and a PNG an image whose colours are their ids; of them, the things."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmagg.datasets.annotation_exports import PARTS, find_images
from mmagg.datasets.coco_file import Entry, check_id, check_keys, is_crowd
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.coco import is_panoptic, json_or_none
from mmagg.formats.instances import Instances, check_size
from mmagg.formats.label_images import colour_ids, id_masks, paint_objects, read_ids
from mmagg.formats.source import Size, Source, SourceImage
from mmagg.io.errors import InputError
from mmagg.io.files import write_json
from mmagg.rle.codes import rle_area

YEAR = '0123456789'
NEEDED = (
    ('image', 'images', 'id', 'file_name'),
    ('annotation', 'annotations', 'image_id', 'file_name', 'segments_info'),
    ('category', 'categories', 'id', 'name'),
)


def looks_like_coco_panoptic(path: Path) -> bool:
    """Whether a JSON file, or one in a folder or its `annotations`, has segments."""
    return bool(_files(path))


def coco_panoptic_images(source: Source) -> list[SourceImage]:
    """The images of `annotations/panoptic_PART.json`, whose PNGs lie in a folder of that name, or anywhere below.

    Categories with `isthing` 0 are left out, regions of many objects are crowds.

    Raises:
        InputError: there is no such file, or one has no list of images, annotations or categories.
    """
    found = _files(source.path)
    if not found:
        raise InputError(f'{source.path}: no JSON with segments_info in it or its annotations')
    images = []
    for path, content in found.items():
        for one, key, *needed in NEEDED:
            if not isinstance(content.get(key), list):
                raise InputError(f'{path} is not COCO panoptic: it has no list "{key}"')
            check_keys(path, one, content[key], *needed)
            for place, entry in enumerate(content[key]):
                check_id(path, one, place, needed[0], entry[needed[0]])
        name = path.stem.removeprefix('panoptic_')
        names = {x['id']: x['name'] if x.get('isthing', 1) else None for x in content['categories']}
        entries = {image['id']: image for image in content['images']}
        pngs = path.with_suffix('') if path.with_suffix('').is_dir() else source.folder
        annotations = [x for x in content['annotations'] if x['image_id'] in entries]
        masks = find_images([str(x['file_name']) for x in annotations], pngs, without=source.without).files
        files = source.files([str(entries[x['image_id']]['file_name']) for x in annotations], _folder(source, path))
        for annotation, file, mask in zip(annotations, files, masks, strict=True):
            if mask is None:
                source.said.append(f'{annotation["file_name"]}: no such image of segments in {pngs}')
            elif file is not None:
                read = partial(_read, mask, entries[annotation['image_id']], annotation['segments_info'], names)
                images.append(SourceImage(file, PARTS.get(name.rstrip(YEAR).lower(), ''), read))
    return images


def write_coco_panoptic(folder: Path, part: str, images: Sequence[AnnotatedImage]) -> list[str]:
    """Write `annotations/panoptic_PART.json` and its PNGs. Where objects overlap, the later one has the pixels.

    Returns:
        Lines on what is lost: objects that are covered by others, and boxes without a mask.
    """
    said: list[str] = []
    pngs = folder / 'annotations' / f'panoptic_{part}'
    classes = list(dict.fromkeys(name for image in images for name in image.classes))
    content: dict[str, list[Entry]] = {
        'images': [],
        'annotations': [],
        'categories': [{'id': number, 'name': name, 'isthing': 1} for number, name in enumerate(classes, 1)],
    }
    for number, image in enumerate(images, 1):
        height, width = image.size
        png = Path(image.name).with_suffix('.png').as_posix()
        ids = paint_objects(image.masks, image.size)
        (pngs / png).parent.mkdir(parents=True, exist_ok=True)
        (pngs / png).write_bytes(cv2.imencode('.png', colour_ids(ids)[..., ::-1])[1].tobytes())
        seen = id_masks(ids)
        if lost := len(image) - len(seen.keys() - {0}):
            said.append(f'{image.name}: {lost} objects are covered by others, or have no mask')
        segments = [
            {
                'id': one,
                'category_id': classes.index(image.classes[int(image.labels[one - 1])]) + 1,
                'iscrowd': int(image.crowd is not None and image.crowd[one - 1]),
                'bbox': _box(image.boxes[one - 1]),
                'area': rle_area(mask),
            }
            for one, mask in seen.items()
            if one
        ]
        content['images'].append({'id': number, 'file_name': image.name, 'height': height, 'width': width})
        content['annotations'].append({'image_id': number, 'file_name': png, 'segments_info': segments})
    write_json(content, pngs.with_suffix('.json'))
    return said


def _box(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _read(
    path: Path, image: Entry, segments: list[Entry], names: Mapping[Any, str | None], size: Size, said: list[str]
) -> AnnotatedImage:
    """The objects of an image, by the names of the things among the categories, None of others."""
    check_size((image.get('height'), image.get('width')), size)
    masks = id_masks(read_ids(path, size))
    instances = Instances(
        name=path.name, size=size, said=said, classes=[name for name in names.values() if name is not None]
    )
    for segment in segments:
        if segment['category_id'] not in names:
            raise InputError(f'{path}: its segment {segment["id"]} is of category {segment["category_id"]}, not listed')
        if (name := names[segment['category_id']]) is None:
            continue
        if segment['id'] not in masks:
            raise InputError(f'{path}: no pixel of its segment {segment["id"]}')
        instances.add(name, [masks[segment['id']]], crowd=bool(is_crowd(segment)))
    return instances.image()


def _files(path: Path) -> dict[Path, dict]:
    """The JSON files with segments, with their content."""
    found = [path] if path.is_file() else sorted([*path.glob('[!.]*.json'), *path.glob('annotations/[!.]*.json')])
    if path.is_dir() and any(file.name.startswith('panoptic_') for file in found):
        found = [file for file in found if file.name.startswith('panoptic_')]
    read = {file: json_or_none(file) for file in found[:10]}
    return {file: content for file, content in read.items() if isinstance(content, dict) and is_panoptic(content)}


def _folder(source: Source, path: Path) -> Path:
    """The folder of the images of a file."""
    name = path.stem.removeprefix('panoptic_')
    places = source.folder / 'images' / name, source.folder / 'images', source.folder / name, source.folder
    return next(place for place in places if place.is_dir())
