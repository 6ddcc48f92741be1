"""The formats that are read, how a folder is told to be of one, and the command that converts it."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mmagg.datasets.coco_folder import annotation_file
from mmagg.formats.coco import coco_images, looks_like_coco
from mmagg.formats.coco_panoptic import coco_panoptic_images, looks_like_coco_panoptic
from mmagg.formats.cvat import cvat_images, looks_like_cvat
from mmagg.formats.labelme import labelme_images, looks_like_labelme
from mmagg.formats.masks import looks_like_masks, masks_images
from mmagg.formats.source import Source, SourceImage
from mmagg.formats.voc import looks_like_voc, voc_images
from mmagg.formats.yolo import looks_like_yolo, yolo_images
from mmagg.io.errors import InputError


class Format(NamedTuple):
    """A way to write images with instances.

    Attributes:
        title: its name in a sentence.
        fits: whether a folder or file looks like it.
        images: its images.
    """

    title: str
    fits: Callable[[Path], bool]
    images: Callable[[Source], list[SourceImage]]


def looks_like_roboflow(path: Path) -> bool:
    """Whether a folder is an export of Roboflow, of COCO or YOLO."""
    marks = 'README.roboflow.txt', 'README.dataset.txt'
    return path.is_dir() and (
        any(path.glob('*/_annotations.coco.json'))
        or (any((path / mark).is_file() for mark in marks) and (looks_like_yolo(path) or looks_like_coco(path)))
    )


def roboflow_images(source: Source) -> list[SourceImage]:
    """The images of an export of Roboflow: COCO Segmentation, or YOLO."""
    return coco_images(source) if looks_like_coco(source.path) else yolo_images(source)


FORMATS = {  # in the order in which they are tried: folders of the first ones may fit later ones, too
    'roboflow': Format("Roboflow's export", looks_like_roboflow, roboflow_images),
    'coco-panoptic': Format('COCO panoptic', looks_like_coco_panoptic, coco_panoptic_images),
    'coco': Format('COCO', looks_like_coco, coco_images),
    'labelme': Format("labelme's JSON", looks_like_labelme, labelme_images),
    'cvat': Format("CVAT's XML", looks_like_cvat, cvat_images),
    'voc': Format('Pascal VOC', looks_like_voc, voc_images),
    'yolo': Format("YOLO's labels", looks_like_yolo, yolo_images),
    'masks': Format('images of masks', looks_like_masks, masks_images),
}


def format_of(path: Path) -> str | None:
    """The format that a folder or file looks like; None if it is of none."""
    return next((name for name, one in FORMATS.items() if _fits(one, path)), None)


def source_images(source: Source, name: str = 'auto') -> list[SourceImage]:
    """The images of a data set.

    Args:
        source: where it is.
        name: of `FORMATS`, or 'auto'.

    Raises:
        OSError: something cannot be read.
        InputError: there is no such folder, or it is of no known format, or of another.
    """
    path = source.path
    if path.suffix.lower() == '.zip':
        raise InputError(f'SRC {path}: an archive; unpack it and name its folder')
    if not path.exists():
        raise InputError(f'SRC {path}: no such file or folder')
    found = format_of(path) if name == 'auto' else name
    if found is None:
        raise InputError(f'SRC {path}: of no format that is read ({", ".join(FORMATS)}); say which with --from')
    images = FORMATS[found].images(source)
    if not images:
        raise InputError(f'SRC {path}: no images in it, read as {FORMATS[found].title}; ' + '; '.join(source.said[:1]))
    return images


def refuse_other_layouts(path: Path, *, flag: str = '--coco ') -> None:
    """Refuse what `--coco` names if it is of a format that can be converted; COCO in other layouts is told later.

    Args:
        path: the folder, or a file.
        flag: what stands before it in the message.

    Raises:
        InputError: says what it seems to be, and the command that makes a folder of it.
    """
    if any(annotation_file(path, part).exists() for part in ('train', 'val')) or looks_like_coco(path):
        return
    found = format_of(path) if path.exists() else None
    if found is not None:
        raise InputError(
            f'{flag}{path}: seems to be {FORMATS[found].title}; {convert_command(path)} makes a folder of it'
        )


def convert_command(path: Path) -> str:
    """The command that makes a COCO folder of a data set, to be copied."""
    return f'`{shlex.join(["mmagg", "convert-data", str(path), f"{path.absolute().name}-coco"])}`'


def _fits(one: Format, path: Path) -> bool:
    try:
        return one.fits(path)
    except (OSError, ValueError):  # what cannot be read is of no format
        return False
