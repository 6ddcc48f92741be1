"""labelme's own JSON: a file an image, beside it, of shapes."""

import base64
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from mmagg.datasets.annotation_exports import PARTS
from mmagg.datasets.coco_file import BAD
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import FAR, Instances, check_size, ellipse, outline
from mmagg.formats.instances import Shape as Part
from mmagg.formats.outlines import outlines
from mmagg.formats.source import Size, Source, SourceImage
from mmagg.io.errors import InputError, one_line
from mmagg.io.files import read_json
from mmagg.io.images import SUFFIXES, decode_image, image_header
from mmagg.rle.codes import decode_window, mask_box, masks_to_rle
from mmagg.rle.polygons import polygons_to_rle

VERSION = '5.5.0'  # of labelme, as of which shapes are written
WITHOUT_AREA = 'line', 'linestrip', 'point', 'points'
Shape = dict


def looks_like_labelme(path: Path) -> bool:
    """Whether a JSON file, or the first one in a folder, in its folders or in theirs, is of labelme."""
    found = (sorted(path.glob(f'{above}[!.]*.json')) for above in ('', '*/', '*/*/'))
    first = path if path.is_file() else next((files[0] for files in found if files), None)
    if first is None or first.suffix.lower() != '.json':
        return False
    try:
        content = read_json(first)
    except (OSError, ValueError):
        return False
    return _has_shapes(content)


def _has_shapes(content: object) -> bool:
    return isinstance(content, dict) and {'shapes', 'imagePath'} <= content.keys()


def labelme_images(source: Source) -> list[SourceImage]:
    """The images of JSON files, which are beside them, where `imagePath` says, anywhere below, or inside them.

    What a file has besides is said: a JSON that cannot be read, or whose image is nowhere.

    Raises:
        InputError: nothing can be read.
    """
    found, images = [], _by_name(source)
    for path in [source.path] if source.path.is_file() else source.glob('*.json'):
        try:
            content = read_json(path)
            if not _has_shapes(content):
                raise InputError('not of labelme, without "shapes" or "imagePath"')
            shapes, name = content['shapes'], content['imagePath']
            size = content.get('imageHeight'), content.get('imageWidth')
            file = _beside(path, name) or _below(images, name)
            embedded = None
            if file is None:
                if not content.get('imageData'):
                    raise InputError(f'its image, {name}, is neither in {source.folder} nor inside it')
                file, embedded = path.with_suffix(_suffix(_embedded(path))), partial(_embedded, path)
            part = PARTS.get(path.relative_to(source.folder).parts[0].lower(), '')
            found.append(SourceImage(file, part, partial(_read, path, shapes, size, file.name), embedded))
        except (OSError, *BAD) as error:
            source.said.append(f'{path}: {one_line(error)}')
    if not found:
        raise InputError(
            f'{source.path}: no labelme file that can be read' + ''.join(f'; {x}' for x in source.said[:1])
        )
    return found


def labelme_json(image: AnnotatedImage, *, tolerance: float = 0.0) -> dict:
    """What labelme saves of an image.

    A mask is a polygon that can be edited, or several with a `group_id` in common, by which labelme's own exports join
    parts. One with holes is a shape of type `mask`, the pixels of its box as a PNG: labelme has no holes, and as it
    draws the outlines of polygons as well, bridges to holes would leave a line of pixels. A box without a mask is a
    rectangle. Masks without a pixel are left out. A score stands in the description.

    Args:
        image: its instances.
        tolerance: pixels by which polygons may be simplified, to be edited; at 0, they are exactly the masks.
    """
    shapes = []
    scores = [None] * len(image) if image.scores is None else image.scores
    for place, (label, mask, box, score) in enumerate(zip(image.labels, image.masks, image.boxes, scores, strict=True)):
        found = [_shape('rectangle', box.reshape(2, 2))] if mask is None else _mask_shapes(mask, place + 1, tolerance)
        for shape in found:
            said = '' if score is None else f'score {score:.3f}'
            shapes.append({'label': str(image.classes[int(label)]), **shape, 'description': said, 'flags': {}})
    height, width = image.size
    return {
        'version': VERSION,
        'flags': {},
        'shapes': shapes,
        'imagePath': image.name,
        'imageData': None,
        'imageHeight': int(height),
        'imageWidth': int(width),
    }


def _mask_shapes(mask: dict, group: int, tolerance: float) -> list[Shape]:
    """The shapes of one object; `group` joins several."""
    polygons = outlines(mask, tolerance)
    if any(len(polygon) > 1 for polygon in polygons):
        x, y, w, h = mask_box(mask)
        png = cv2.imencode('.png', decode_window(mask, (x, y, w, h)))[1].tobytes()
        corners = np.array([[x, y], [x + w - 1, y + h - 1]])  # both pixels are inside, as labelme has it
        return [{**_shape('mask', corners), 'mask': base64.b64encode(png).decode()}]
    return [_shape('polygon', ring, group if len(polygons) > 1 else None) for (ring,) in polygons]


def _shape(kind: str, points: np.ndarray, group: int | None = None) -> Shape:
    return {'points': points.astype(float).tolist(), 'group_id': group, 'shape_type': kind, 'mask': None}


def _read(path: Path, shapes: list[Shape], whole: tuple, name: str, size: Size, said: list[str]) -> AnnotatedImage:
    """The objects of a file; shapes of a class that have a `group_id` in common are parts of one."""
    check_size(whole, size)
    instances = Instances(name=name, size=size, said=said)
    objects: dict[tuple, tuple[str, list[Part]]] = {}
    for place, shape in enumerate(shapes):
        kind, group = shape.get('shape_type') or 'polygon', shape.get('group_id')
        if kind in WITHOUT_AREA:
            said.append(f'{path}: shape {place} is a {kind}, which has no area')
            continue
        try:
            key = (shape['label'], None, place) if group is None else (shape['label'], str(group), None)
            objects.setdefault(key, (shape['label'], []))[1].append(_part(kind, shape, size))
        except BAD as error:
            raise InputError(f'{path}: shape {place}: {one_line(error)}') from error
    for label, parts in objects.values():
        instances.add(label, parts)
    return instances.image()


def _part(kind: str, shape: Shape, size: Size) -> Part:
    points = np.asarray(shape['points'], np.float64)
    if not (np.abs(points) < FAR).all():
        raise InputError('corners that are no numbers, or far outside of the image')
    if kind == 'mask':
        return _pasted(shape['mask'], points.reshape(-1, 2)[0].round().astype(int), size)
    if kind == 'rectangle':
        return np.concatenate([points.min(axis=0), points.max(axis=0)])
    if kind == 'circle':
        centre, rim = points
        return polygons_to_rle([[ellipse(centre, [np.hypot(*(rim - centre))] * 2)]], size)
    if kind == 'polygon':
        return polygons_to_rle([[outline(points)]], size)
    raise InputError(f'of an unknown type, {kind!r}')


def _pasted(code: str, corner: np.ndarray, size: Size) -> dict:
    """The mask of a PNG, in base64, whose first pixel is at x, y."""
    png = np.frombuffer(base64.b64decode(code, validate=True), np.uint8)
    header = image_header(BytesIO(png.tobytes()))
    if header is None or header[1][0] > size[1] or header[1][1] > size[0]:
        raise InputError('its mask is no image, or larger than the image')
    decoded = decode_image(png, cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise InputError('its mask cannot be read as an image')
    pixels = (decoded if decoded.ndim == 2 else decoded.max(axis=2)) > 0
    mask = np.zeros(size, bool)
    x, y = corner
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + pixels.shape[1], size[1]), min(y + pixels.shape[0], size[0])
    if x1 < x2 and y1 < y2:
        mask[y1:y2, x1:x2] = pixels[y1 - y : y2 - y, x1 - x : x2 - x]
    return masks_to_rle(mask[None])[0]


def _beside(path: Path, name: str) -> Path | None:
    """The image of a file in its folder: by the name that it has there, or by its own."""
    last = PurePosixPath(name.replace('\\', '/')).name
    same = (path.with_suffix(suffix) for suffix in sorted(SUFFIXES))
    return next((image for image in (path.parent / last, *same) if last and image.is_file()), None)


def _by_name(source: Source) -> dict[str, list[Path]]:
    """The images of a source by their names."""
    images: dict[str, list[Path]] = {}
    for path in source.glob('*', source.image_dir):
        if path.suffix.lower() in SUFFIXES:
            images.setdefault(path.name, []).append(path)
    return images


def _below(images: Mapping[str, list[Path]], name: str) -> Path | None:
    """The only image of a name."""
    found = images.get(PurePosixPath(name.replace('\\', '/')).name, [])
    if len(found) > 1:
        raise InputError(f'its image, {name}, is in several places, as {found[0]} and {found[1]}')
    return found[0] if found else None


def _embedded(path: Path) -> bytes:
    return base64.b64decode(read_json(path)['imageData'], validate=True)


def _suffix(content: bytes) -> str:
    """The end that a file of this content has."""
    header = image_header(BytesIO(content))
    if header is None:
        raise InputError('the image inside it cannot be read')
    return {'JPEG': '.jpg', 'PNG': '.png', 'BMP': '.bmp', 'WEBP': '.webp', 'TIFF': '.tif'}.get(header[0] or '', '.png')
