"""CVAT's own XML, "CVAT for images 1.1": one `annotations.xml` for all images."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np

from mmagg.datasets.annotation_exports import PARTS
from mmagg.datasets.coco_file import BAD
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import Instances, Shape, check_size, ellipse, outline, turned
from mmagg.formats.instances import box_ring as corners_of
from mmagg.formats.source import Size, Source, SourceImage
from mmagg.io.errors import InputError, one_line
from mmagg.io.safe_xml import read_xml
from mmagg.rle.codes import decode_window, mask_box, masks_to_rle
from mmagg.rle.polygons import mask_polygons, polygons_to_rle

FILE = 'annotations.xml'
WITHOUT_AREA = 'polyline', 'points', 'cuboid', 'skeleton'


def looks_like_cvat(path: Path) -> bool:
    """Whether a folder has `annotations.xml`, or a file is one."""
    file = path if path.is_file() else path / FILE
    if not file.is_file() or file.suffix.lower() != '.xml':
        return False
    with file.open('rb') as opened:
        return b'<annotations>' in opened.read(2000)


def cvat_images(source: Source) -> list[SourceImage]:
    """The images of an `annotations.xml`; CVAT exports them to `images`, with their subset, if it has several.

    Raises:
        InputError: it is not XML, of a video, or has no images.
    """
    path = source.path if source.path.is_file() else source.path / FILE
    root = read_xml(path)
    if root.find('track') is not None:
        raise InputError(f'{path}: of a video, by tracks; export as "CVAT for images 1.1"')
    images = [image for image in root.iter('image') if image.get('name')]
    if not images:
        raise InputError(f'{path}: no images in it')
    folder = next(place for place in (source.folder / 'images', source.folder) if place.is_dir())
    found = source.files([image.attrib['name'] for image in images], folder)
    parts = [PARTS.get(image.get('subset', '').lower(), '') for image in images]
    return [
        SourceImage(file, part, partial(_read, path, image))
        for image, file, part in zip(images, found, parts, strict=True)
        if file is not None
    ]


def write_cvat(path: Path, images: Sequence[AnnotatedImage], parts: Sequence[str]) -> None:
    """Write "CVAT for images 1.1".

    An object of one part without holes is a polygon. Others are masks, CVAT's run lengths along the rows of the box:
    it has no holes, and only its exports join parts of a group. A box without a mask is a box.
    """
    root = Element('annotations')
    SubElement(root, 'version').text = '1.1'
    labels = SubElement(SubElement(SubElement(root, 'meta'), 'job'), 'labels')
    for name in dict.fromkeys(name for image in images for name in image.classes):
        SubElement(SubElement(labels, 'label'), 'name').text = name
    for number, (image, part) in enumerate(zip(images, parts, strict=True)):
        height, width = image.size
        fields = {'id': number, 'name': image.name, 'subset': part, 'width': width, 'height': height}
        entry = SubElement(root, 'image', {key: str(value) for key, value in fields.items()})
        for label, mask, box in zip(image.labels, image.masks, image.boxes, strict=True):
            kind, values = _written(mask, box)
            common = {'label': image.classes[int(label)], 'source': 'manual', 'occluded': '0', 'z_order': '0'}
            SubElement(entry, kind, {**common, **values})
    ElementTree(root).write(path, encoding='utf-8', xml_declaration=True)


def _written(mask: dict | None, box: np.ndarray) -> tuple[str, dict[str, str]]:
    """The element of an object."""
    if mask is None:
        return 'box', {key: f'{value:.2f}' for key, value in zip(('xtl', 'ytl', 'xbr', 'ybr'), box, strict=True)}
    polygons = mask_polygons(mask)
    if len(polygons) == len(polygons[0]) == 1:
        return 'polygon', {'points': ';'.join(f'{x:.2f},{y:.2f}' for x, y in polygons[0][0])}
    x, y, w, h = mask_box(mask)
    row = np.concatenate([[0], decode_window(mask, (x, y, w, h)).ravel()])
    edges = np.flatnonzero(row[1:] != row[:-1])
    runs = np.diff(edges, prepend=0, append=w * h)
    place = {'left': x, 'top': y, 'width': w, 'height': h}
    return 'mask', {'rle': ', '.join(map(str, runs)), **{key: str(value) for key, value in place.items()}}


def _read(path: Path, image: Element, size: Size, said: list[str]) -> AnnotatedImage:
    """The objects of an image; shapes of a class in a group are parts of one, as in CVAT's COCO."""
    name = image.attrib['name']
    check_size([int(image.attrib[key]) if key in image.attrib else None for key in ('height', 'width')], size)
    instances = Instances(name=name, size=size, said=said)
    objects: dict[tuple, tuple[str, list[Shape]]] = {}
    for place, shape in enumerate(image):
        if shape.tag in WITHOUT_AREA:
            said.append(f'{path}: image {name}: a {shape.tag} has no area')
        if shape.tag in WITHOUT_AREA or shape.tag == 'tag':
            continue
        try:
            label, group = shape.attrib['label'], int(shape.get('group_id') or 0)
            key = (label, group, None) if group else (label, 0, place)
            objects.setdefault(key, (label, []))[1].append(_shape(shape, size))
        except BAD as error:
            raise InputError(f'{path}: image {name}, {shape.tag} {place}: {one_line(error)}') from error
    for label, shapes in objects.values():
        instances.add(label, shapes)
    return instances.image()


def _shape(shape: Element, size: Size) -> Shape:
    def values(*keys: str) -> list[float]:
        return [float(shape.attrib[key]) for key in keys]

    degrees = float(shape.get('rotation') or 0)
    if shape.tag == 'box':
        box = np.array(values('xtl', 'ytl', 'xbr', 'ybr'))
        if not degrees:
            return box
        return polygons_to_rle([[outline(turned(corners_of(box), (box[:2] + box[2:]) / 2, degrees))]], size)
    if shape.tag == 'polygon':
        points = [[float(value) for value in point.split(',')] for point in shape.attrib['points'].split(';')]
        return polygons_to_rle([[outline(points)]], size)
    if shape.tag == 'ellipse':
        ring = ellipse(values('cx', 'cy'), values('rx', 'ry'), degrees)
        return polygons_to_rle([[outline(ring)]], size)
    if shape.tag == 'mask':
        return _mask(shape, size)
    raise InputError('of an unknown type')


def _mask(shape: Element, size: Size) -> dict:
    """The mask of run lengths of 0, 1, 0 … along the rows of a box."""
    x, y, w, h = (int(shape.attrib[key]) for key in ('left', 'top', 'width', 'height'))
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > size[1] or y + h > size[0]:
        raise InputError('it reaches out of the image')
    runs = np.array([int(run) for run in shape.attrib['rle'].split(',')])
    if (runs < 0).any() or (runs > w * h).any() or runs.sum() != w * h:
        raise InputError(f'its run lengths do not add up to {w} × {h} pixels')
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = np.repeat(np.arange(len(runs)) % 2, runs).reshape(h, w)
    return masks_to_rle(mask[None])[0]
