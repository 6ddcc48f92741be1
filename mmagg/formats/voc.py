"""Pascal VOC: XML with boxes, and images of objects and classes (`SegmentationObject`, `SegmentationClass`)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
from PIL import Image

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import Instances, check_size
from mmagg.formats.label_images import id_masks, paint_objects, palette, read_ids
from mmagg.formats.source import Size, Source, SourceImage, text_lines
from mmagg.io.errors import InputError
from mmagg.io.images import SUFFIXES
from mmagg.io.safe_xml import read_xml

OBJECTS, CLASSES, BOXES, IMAGES = 'SegmentationObject', 'SegmentationClass', 'Annotations', 'JPEGImages'
PARTS = 'train', 'val', 'test'
VOID = 255  # place in the palette of borders that are of no object
MOST = 254  # objects or classes of an image, by the palette
# fmt: off
NAMES = (
    'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable',
    'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)
# fmt: on
Colour = tuple[int, int, int]


def looks_like_voc(path: Path) -> bool:
    """Whether a folder, or one two below it, has objects' images, or boxes and `JPEGImages`."""
    return path.is_dir() and _folder(path) is not None


def voc_images(source: Source) -> list[SourceImage]:
    """The images that have an image of objects; where none has, those with an XML, of boxes alone.

    An object's class is what `SegmentationClass` has at its pixels, by the colours of `labelmap.txt` or VOC's own; the
    object of the same number in the XML says it where that is not there. Parts are those of `ImageSets`.

    Raises:
        InputError: there are neither.
    """
    folder = _folder(source.folder)
    if folder is None:
        raise InputError(f'{source.path}: neither {OBJECTS} nor {BOXES} in it')
    objects = {_stem(path, folder / OBJECTS): path for path in sorted((folder / OBJECTS).rglob('*.png'))}
    xml = {_stem(path, folder / BOXES): path for path in sorted((folder / BOXES).rglob('*.xml'))}
    parts, colours = _parts(folder), _colours(folder)
    image_dir = source.image_dir or folder / IMAGES
    images = []
    for stem in objects or xml:
        file = next((x for suffix in sorted(SUFFIXES) if (x := image_dir / f'{stem}{suffix}').is_file()), None)
        if file is None:
            source.said.append(f'{stem}: no such image in {image_dir}')
            continue
        classes = folder / CLASSES / f'{stem}.png'
        read = partial(_read, objects.get(stem), classes if classes.is_file() else None, xml.get(stem), colours)
        images.append(SourceImage(file, parts.get(stem, ''), read))
    if not images:
        raise InputError(f'{source.path}: no image of a {OBJECTS} or {BOXES} in {image_dir}')
    return images


def write_voc(folder: Path, images: Sequence[AnnotatedImage], parts: Sequence[str]) -> list[str]:
    """Write `Annotations`, `SegmentationObject`, `SegmentationClass`, `ImageSets/Segmentation` and `labelmap.txt`.

    Where objects overlap, the later one has the pixels.

    Returns:
        Lines on what is lost: objects that are covered by others, or have no mask.

    Raises:
        InputError: an image has more objects than a palette has colours, or there are so many classes.
    """
    said = []
    classes = ['background', *dict.fromkeys(name for image in images for name in image.classes)]
    colours = colour_map()
    for image in images:
        if max(len(image), len(classes) - 1) > MOST:
            raise InputError(f'{image.name}: more than {MOST} objects, or classes, which VOC cannot have')
        ids = paint_objects(image.masks, image.size)
        labels = np.array([0, *(classes.index(image.classes[int(label)]) for label in image.labels)])
        stem = Path(image.name).with_suffix('').as_posix()
        for name, values in ((OBJECTS, ids), (CLASSES, labels[ids])):
            path = folder / name / f'{stem}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(values.astype(np.uint8))
            picture.putpalette(np.array(colours, np.uint8).ravel().tolist())
            picture.save(path)
        if lost := len(image) + 1 - len(np.union1d(ids, [0])):
            said.append(f'{image.name}: {lost} objects are covered by others, or have no mask')
        _write_xml(folder / BOXES / f'{stem}.xml', image)
    sets = folder / 'ImageSets/Segmentation'
    sets.mkdir(parents=True, exist_ok=True)
    for part in dict.fromkeys(parts):
        stems = [Path(x.name).with_suffix('').as_posix() for x, one in zip(images, parts, strict=True) if one == part]
        (sets / f'{part}.txt').write_text(''.join(f'{stem}\n' for stem in stems), encoding='utf-8')
    lines = [f'{name}:{",".join(map(str, colours[place]))}::\n' for place, name in enumerate(classes)]
    (folder / 'labelmap.txt').write_text('# label:color_rgb:parts:actions\n' + ''.join(lines), encoding='utf-8')
    return said


def colour_map() -> list[Colour]:
    """VOC's palette: the bits of a number, three by three, are the first bits of red, green and blue."""
    number = np.arange(256)
    bits = [sum((number >> 3 * place + channel & 1) << 7 - place for place in range(8)) for channel in range(3)]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*bits, strict=True)]


def _write_xml(path: Path, image: AnnotatedImage) -> None:
    """VOC's XML, whose boxes are of pixels from 1, both corners inside."""
    root = Element('annotation')
    SubElement(root, 'filename').text = image.name
    size = SubElement(root, 'size')
    for key, value in zip(('width', 'height', 'depth'), (image.size[1], image.size[0], 3), strict=True):
        SubElement(size, key).text = str(value)
    SubElement(root, 'segmented').text = '1'
    for label, (x1, y1, x2, y2) in zip(image.labels, image.boxes.tolist(), strict=True):
        entry = SubElement(root, 'object')
        SubElement(entry, 'name').text = image.classes[int(label)]
        box = SubElement(entry, 'bndbox')
        for key, side in zip(('xmin', 'ymin', 'xmax', 'ymax'), (x1 + 1, y1 + 1, x2, y2), strict=True):
            SubElement(box, key).text = f'{side:g}'
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree(root).write(path, encoding='utf-8')


def _read(
    objects: Path | None,
    classes: Path | None,
    xml: Path | None,
    colours: Mapping[Colour | int, str],
    size: Size,
    said: list[str],
) -> AnnotatedImage:
    instances = Instances(name=(objects or xml or Path()).name, size=size, said=said)
    root = None if xml is None else read_xml(xml)
    if root is not None and root.find('size') is not None:
        check_size([int(float(root.findtext(f'size/{side}') or 0)) or None for side in ('height', 'width')], size)
    listed = [] if root is None else [(x.findtext('name') or '', x.find('bndbox')) for x in root.findall('object')]
    if objects is None:
        for name, box in listed:
            if box is None:
                raise InputError(f'{xml}: an object has no bndbox')
            x1, y1, x2, y2 = (float(box.findtext(key) or 'nan') for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            instances.add(name, [np.array([x1 - 1, y1 - 1, x2, y2])])
        return instances.image()
    ids = read_ids(objects, size)
    void = VOID if palette(objects) or ids.max() <= VOID else 224 + 256 * 224 + 65536 * 192
    masks = id_masks(np.where(ids == void, 0, ids))
    named = _class_names(classes, ids, colours, size) if classes else {}
    for place, (one, mask) in enumerate(sorted((one, mask) for one, mask in masks.items() if one)):
        number = one - 1 if ids.max() <= VOID else place
        name = named.get(one) or (listed[number][0] if number < len(listed) else '')
        if not name:
            raise InputError(f'{objects}: object {one} has a class neither in {CLASSES} nor in {BOXES}')
        instances.add(name, [mask])
    return instances.image()


def _class_names(path: Path, ids: np.ndarray, colours: Mapping[Colour | int, str], size: Size) -> dict[int, str]:
    """The class of each object: that of most of its pixels."""
    values, table = read_ids(path, size), palette(path)
    pairs, counts = np.unique(ids.ravel() << 24 | values.ravel(), return_counts=True)
    named: dict[int, str] = {}
    for place in np.argsort(counts, kind='stable'):  # the most come last
        one, value = divmod(int(pairs[place]), 1 << 24)
        if table is not None:
            name = colours.get(table[value], colours.get(value))
        else:
            name = colours.get(value) if values.max() <= VOID else None
            name = name or colours.get((value & 255, value >> 8 & 255, value >> 16))
        if name and name != NAMES[0]:
            named[one] = name
    return named


def _folder(path: Path) -> Path | None:
    """The folder of the data set, which may lie in one of a year, as `VOCdevkit/VOC2012`."""
    for folder in (path, *sorted(path.glob('*/')), *sorted(path.glob('*/*/'))):
        if (folder / OBJECTS).is_dir() or ((folder / BOXES).is_dir() and (folder / IMAGES).is_dir()):
            return folder
    return None


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix('').as_posix()


def _parts(folder: Path) -> dict[str, str]:
    """The part of each image that a list is of."""
    parts: dict[str, str] = {}
    for kind in ('Segmentation', 'Main'):
        for part in PARTS:
            path = folder / 'ImageSets' / kind / f'{part}.txt'
            for line in text_lines(path) if path.is_file() else ():
                parts.setdefault(line.strip(), part)
        if parts:
            break
    return parts


def _colours(folder: Path) -> dict[Colour | int, str]:
    """The classes by colour and number: of `labelmap.txt`, or VOC's."""
    path = folder / 'labelmap.txt'
    if not path.is_file():
        return {**dict(enumerate(NAMES)), **dict(zip(colour_map(), NAMES, strict=False))}
    named: dict[Colour | int, str] = {}
    lines = (line for line in text_lines(path) if line.strip() and line[0] != '#')
    for place, line in enumerate(lines):
        name, colour = line.rsplit(':', 3)[:2] if line.count(':') > 2 else (line, '')
        values = colour.split(',')
        if len(values) != 3 or not all(value.strip().isdecimal() for value in values):
            raise InputError(f'{path}: {line!r} is not NAME:R,G,B::')
        red, green, blue = map(int, values)
        named |= {place: name, (red, green, blue): name}
    return named
