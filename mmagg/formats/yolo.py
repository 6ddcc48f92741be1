"""YOLO's segmentation labels: a text file an image, a line an object, its class and the corners of its outline.

| layout | classes | images | labels |
|---|---|---|---|
| Ultralytics, Roboflow, CVAT's *Ultralytics YOLO* | `data.yaml` | its `train`, `val`: folders, lists | `labels` |
| Label Studio, labelImg | `classes.txt` | `images` | `labels` |
| CVAT's *YOLO 1.1*, darknet | `obj.names` | `obj_train_data` | beside |

A label file lies where the image's path has `labels` instead of `images`, or beside the image.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import Instances, box_ring, outline
from mmagg.formats.outlines import outlines
from mmagg.formats.source import Size, Source, SourceImage, text_lines
from mmagg.io.errors import InputError
from mmagg.io.images import SUFFIXES
from mmagg.rle.polygons import one_ring, polygons_to_rle

DIGITS = 6  # of a share of the width or height: half a pixel is not reached below 500,000 pixels
SLACK = 0.01  # that a share may be outside of the image, as Ultralytics lets it
NAMES = 'classes.txt', 'obj.names'
PARTS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}


def looks_like_yolo(path: Path) -> bool:
    """Whether a folder, or a YAML file, has the names of classes; or a folder label files, which want them."""
    if path.is_file():
        return path.suffix.lower() in ('.yaml', '.yml') and _names(path) is not None
    labels = ('labels/*.txt', 'labels/*/*.txt', '*/labels/*.txt')
    return any(any(path.glob(pattern)) for pattern in labels) or _classes_file(path) is not None


def yolo_images(source: Source) -> list[SourceImage]:
    """The images of a data set in one of YOLO's layouts; one without a label file has no objects.

    Raises:
        InputError: there are no names of classes, the labels are of keypoints, or no image is found.
    """
    path = source.path if source.path.is_file() else _classes_file(source.path)
    if path is None:
        raise InputError(f'{source.path}: no names of classes (data.yaml with names, or classes.txt) for YOLO labels')
    if path.suffix.lower() in ('.yaml', '.yml'):
        content = _yaml(path)
        classes = _names(path) or []
        if 'kpt_shape' in content:
            raise InputError(f'{path}: of keypoints (kpt_shape), not of outlines')
        listed = {part: content[key] for key, part in PARTS.items() if content.get(key)}
    else:
        classes, listed = [name.strip() for name in text_lines(path)], {}
    files = list(_files(source, path, listed)) if listed else [('', file) for file in _below(source, source.folder)]
    if not files:
        raise InputError(f'{source.path}: no images for its YOLO labels')
    first: dict[Path, str] = {}
    again = [(part, file) for part, file in files if first.setdefault(file, part) != part]
    for part, count in Counter(part for part, _ in again).items():
        one = next(file for other, file in again if other == part)
        images = 'image' if count == 1 else 'images'
        source.said.append(f'{path}: {count} {images} of its {part} in {first[one]} as well, as {one.name}')
    labels = {file: _label_file(source.folder, file) for file in first}
    if not any(labels.values()):
        raise InputError(f'{source.path}: no label file (labels/*.txt) of any of its {len(first)} images')
    used = set(labels.values())
    folders = {label.parent for label in labels.values() if label is not None}
    alone = [label for folder in sorted(folders) for label in sorted(folder.glob('*.txt')) if label not in used]
    source.said.extend([f'{label}: no image of this name' for label in alone if label.name not in NAMES])
    return [SourceImage(file, part, partial(_read, labels[file], file.name, classes)) for file, part in first.items()]


def yolo_lines(image: AnnotatedImage, *, tolerance: float = 0.0) -> list[str]:
    """The lines of an image's label file: `class x y x y …`, as shares of width and height.

    A line is one ring, so that parts and holes are joined by bridges of no width (`one_ring`); `polygons_to_rle` gives
    the same mask again. A file is of outlines or of boxes: a box without a mask is its four corners among outlines,
    and `class x y w h`, from its centre, where no object of the image has a mask. Masks without a pixel have no line.
    Scores are left out, as they would be read as coordinates.

    Args:
        image: its instances.
        tolerance: pixels by which outlines may be simplified; at 0, they are exactly the masks.
    """
    outlined = any(mask is not None for mask in image.masks)
    lines = []
    for label, mask, box in zip(image.labels, image.masks, image.boxes, strict=True):
        if mask is not None:
            polygons = outlines(mask, tolerance)
            if not polygons:
                continue
            points = one_ring(polygons)
        elif outlined:
            points = box_ring(box)
        else:
            points = np.stack([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
        height, width = image.size
        shares = (points / [width, height]).ravel()
        lines.append(' '.join([str(int(label)), *(f'{share:.{DIGITS}f}' for share in shares)]))
    return lines


def write_yolo_names(folder: Path, classes: Sequence[str], parts: Sequence[str]) -> None:
    """Write the `data.yaml` of a data set with `images/PART` and `labels/PART`."""
    content = {**{part: f'images/{part}' for part in parts}, 'names': dict(enumerate(classes))}
    (folder / 'data.yaml').write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding='utf-8')


def _read(path: Path | None, name: str, classes: Sequence[str], size: Size, said: list[str]) -> AnnotatedImage:
    """The objects of a label file."""
    instances = Instances(name=name, size=size, said=said, classes=classes)
    for number, line in enumerate(text_lines(path) if path else (), 1):
        try:
            values = [float(word) for word in line.split()]
            if values:
                instances.add(*_object(values, classes, size))
        except ValueError as error:  # InputError is one
            raise InputError(f'{path}, line {number}: {error}') from error
    return instances.image()


def _object(values: list[float], classes: Sequence[str], size: Size) -> tuple[str, list]:
    """Class and shape of a line."""
    label, shares = values[0], np.array(values[1:])
    if not label.is_integer() or not 0 <= label < len(classes):
        raise InputError(f'class {label:g} is not one of the {len(classes)} named')
    if not ((shares >= -SLACK) & (shares <= 1 + SLACK)).all():
        raise InputError('coordinates are not shares from 0 to 1 of width and height')
    sides = np.array([size[1], size[0]])
    if len(shares) == 4:
        centre, extent = shares[:2] * sides, shares[2:] * sides
        return classes[int(label)], [np.concatenate([centre - extent / 2, centre + extent / 2])]
    if len(shares) < 6 or len(shares) % 2:
        raise InputError(f'{len(shares)} numbers after the class are neither a box nor corners')
    return classes[int(label)], [polygons_to_rle([[outline(shares.reshape(-1, 2) * sides)]], size)]


def _files(source: Source, path: Path, listed: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """The images of the parts of a `data.yaml`. Its paths are often those of another machine, so that the end counts.

    Raises:
        InputError: a value is no path.
    """
    for part, values in listed.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                raise InputError(f'{path}: its {part} is {value!r}, not a path')
            place = _place(source.folder, value)
            if place is None:
                source.said.append(f'{path}: its {part}, {value}, is not in {source.folder}')
            elif place.is_dir():
                yield from ((part, file) for file in _below(source, place))
            else:
                lines = [line.strip().replace('\\', '/') for line in text_lines(place) if line.strip()]
                names = dict.fromkeys(str(PurePosixPath(line)) for line in lines)  # some repeat images to see them more
                yield from ((part, file) for file in source.files(list(names)) if file)


def _place(folder: Path, value: str) -> Path | None:
    """What a path of a `data.yaml` means inside a folder: the longest end of it that is there."""
    parts = [part for part in PurePosixPath(value.replace('\\', '/')).parts if part not in ('/', '..', '.')]
    places = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((place for place in places if place.exists()), None)


def _below(source: Source, folder: Path) -> list[Path]:
    return [p for p in source.glob('*') if p.suffix.lower() in SUFFIXES and p.is_relative_to(folder)]


def _label_file(folder: Path, image: Path) -> Path | None:
    """The label file of an image; None if there is none."""
    parts = image.relative_to(folder).with_suffix('.txt').parts
    named = [place for place, part in enumerate(parts[:-1]) if part == 'images']
    mirrored = [folder.joinpath(*parts[:place], 'labels', *parts[place + 1 :]) for place in reversed(named)]
    places = [*mirrored, image.with_suffix('.txt'), folder / 'labels' / parts[-1]]
    return next((place for place in places if place.is_file()), None)


def _classes_file(folder: Path) -> Path | None:
    """The file with the names of classes."""
    candidates = [folder / 'data.yaml', *sorted(folder.glob('*.y*ml')), *(folder / name for name in NAMES)]
    for path in candidates:
        try:
            if path.is_file() and (path.name in NAMES or _names(path) is not None):
                return path
        except InputError:
            if path.name == 'data.yaml':
                raise
    return None


def _names(path: Path) -> list[str] | None:
    """The names of classes in a YAML file, a list or a dict by number; None if it has none."""
    names = _yaml(path).get('names')
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(place), []) for place in range(len(names))]
    if not isinstance(names, list) or not names or any(isinstance(name, list | dict) for name in names):
        return None  # nested ones may stand for any number of names
    return [str(name) for name in names]


def _yaml(path: Path) -> dict:
    """A YAML file as plain data.

    Raises:
        InputError: it is not YAML.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f'{path}: not YAML ({type(error).__name__})') from error
    return content if isinstance(content, dict) else {}
