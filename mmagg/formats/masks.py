"""Images with images of masks, in the layouts that people make.

| layout | an object is | its class |
|---|---|---|
| `images/a.jpg`, `masks/a/CLASS_1.png`, `CLASS_2.png`, … | a file, what is not 0 | before `_NUMBER`, else `object` |
| `images/a.jpg`, `masks/CLASS/a.png` | a value, but 0, or a colour, but black | its folder |
| `images/a.jpg`, `masks/a.png` | likewise | `object` |
| `a/images/a.png`, `a/masks/*.png` (Data Science Bowl 2018) | a file | as in the first |

The first two may have `train`, `val` and `test` below `images` and `masks`, or above them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import cv2
import numpy as np

from mmagg.datasets.annotation_exports import PARTS
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.instances import Instances
from mmagg.formats.label_images import id_masks, read_ids
from mmagg.formats.source import Size, Source, SourceImage
from mmagg.io.errors import InputError
from mmagg.io.images import SUFFIXES
from mmagg.rle.codes import decode_mask, masks_to_rle

IMAGES, MASKS = 'images', 'masks'
KINDS = '.png', '.tif', '.tiff', '.bmp'
NUMBERED = re.compile(r'(.+)_\d+')
LAST_NUMBER = re.compile(r'\d{1,18}$')
OTHERWISE = 'object'  # the class of what has no name


def looks_like_masks(path: Path) -> bool:
    """Whether a folder, or one in it, has `images` and `masks`."""
    return path.is_dir() and bool(_pairs(path))


def masks_images(source: Source) -> list[SourceImage]:
    """The images that have masks; others are said. A folder of masks that is empty is an image without objects.

    Raises:
        InputError: there are none.
    """
    images = []
    for image_dir, mask_dir, part in _pairs(source.folder):
        files = [p for p in source.glob('*') if p.suffix.lower() in SUFFIXES and p.is_relative_to(image_dir)]
        stems = {file: file.relative_to(image_dir).with_suffix('') for file in files}
        single = len(files) == 1 and image_dir.parent != source.folder
        class_dirs = sorted(x for x in mask_dir.glob('*/') if Path(x.name) not in set(stems.values()))
        for file, stem in stems.items():
            masks = _id_files(mask_dir, class_dirs, stem)
            own = mask_dir / stem
            if own.is_dir():
                images.append(SourceImage(file, part, partial(_read_files, own, file.name)))
            elif masks:
                images.append(SourceImage(file, part, partial(_read_ids, masks, file.name)))
            elif single:
                images.append(SourceImage(file, part, partial(_read_files, mask_dir, file.name)))
            else:
                source.said.append(f'{file}: no masks in {mask_dir}')
    if not images:
        raise InputError(f'{source.path}: no image with masks; images/a.jpg wants masks/a.png, or files in masks/a')
    return images


def write_masks(folder: Path, image: AnnotatedImage) -> list[str]:
    """Write the masks of an image, a file each, in a folder of its own; a class's name as it is in an address.

    Returns:
        A line on boxes without a mask, which are left out.
    """
    own = folder / Path(image.name).with_suffix('')
    own.mkdir(parents=True, exist_ok=True)
    for number, (label, mask) in enumerate(zip(image.labels, image.masks, strict=True)):
        if mask is not None:
            pixels = cv2.imencode('.png', decode_mask(mask).astype(np.uint8) * 255)[1]
            (own / f'{quote(image.classes[int(label)], safe=" ")}_{number}.png').write_bytes(pixels.tobytes())
    lost = sum(mask is None for mask in image.masks)
    return [f'{image.name}: {lost} objects have no mask'] if lost else []


def _read_files(folder: Path, name: str, size: Size, said: list[str]) -> AnnotatedImage:
    """An object a file."""
    instances = Instances(name=name, size=size, said=said)
    for path in _by_number(path for path in folder.iterdir() if path.suffix.lower() in KINDS):
        found = NUMBERED.fullmatch(path.stem)
        (mask,) = masks_to_rle((read_ids(path, size) > 0)[None])
        instances.add(unquote(found[1]) if found else OTHERWISE, [mask])
    return instances.image()


def _by_number(paths: Iterable[Path]) -> list[Path]:
    """In the order of the numbers at the ends of their names."""
    return sorted(paths, key=lambda path: (int((LAST_NUMBER.search(path.stem) or ['0'])[0]), path.name))


def _read_ids(masks: Mapping[Path, str], name: str, size: Size, said: list[str]) -> AnnotatedImage:
    """An object a value."""
    instances = Instances(name=name, size=size, said=said)
    for path, class_name in masks.items():
        for one, mask in id_masks(read_ids(path, size)).items():
            if one:
                instances.add(class_name, [mask])
    return instances.image()


def _id_files(mask_dir: Path, class_dirs: Sequence[Path], stem: Path) -> dict[Path, str]:
    """The images of ids of an image, with the class that their place says."""
    places = [(mask_dir / stem, OTHERWISE), *((folder / stem, folder.name) for folder in class_dirs)]
    found = ((place.with_name(place.name + kind), name) for place, name in places for kind in KINDS)
    return {path: name for path, name in found if path.is_file()}


def _pairs(folder: Path) -> list[tuple[Path, Path, str]]:
    """Folders of images with those of their masks, and the part that they are of."""
    images, masks = folder / IMAGES, folder / MASKS
    if images.is_dir() and masks.is_dir():
        parts = [x.name for x in sorted(images.glob('*/')) if x.name.lower() in PARTS and (masks / x.name).is_dir()]
        return [(images / part, masks / part, PARTS[part.lower()]) for part in parts] or [(images, masks, '')]
    above = [x for x in sorted(folder.glob('*/')) if (x / IMAGES).is_dir() and (x / MASKS).is_dir()]
    return [(x / IMAGES, x / MASKS, PARTS.get(x.name.lower(), '')) for x in above]
