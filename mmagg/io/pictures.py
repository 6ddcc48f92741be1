"""Where pictures of images go: into a folder of their own, in which they lie as the images do in theirs."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmagg.io.images import KEPT_SUFFIXES
from mmagg.io.paths import fitting, keep_apart


def places(images: Iterable[str | Path], root: str | Path | None = None) -> dict[str, Path]:
    """The relative path of each image below a folder that holds all of them, by the image's path as it is given.

    Args:
        images: files, whose paths may have ``..`` in them.
        root: that folder; where an image lies outside of it, it is the deepest one that holds all.
    """
    full = {str(image): Path(os.path.abspath(image)) for image in images}
    if not full:
        return {}
    top = None if root is None else Path(os.path.abspath(root))
    if top is None or not all(path.is_relative_to(top) for path in full.values()):
        top = Path(os.path.commonpath([path.parent for path in full.values()]))
    return {image: path.relative_to(top) for image, path in full.items()}


def picture_paths(
    images: Iterable[str | Path], folder: Path, *, root: str | Path | None = None, flag: str
) -> dict[str, Path]:
    """A file below ``folder`` for the picture of each image, by the image's path as it is given; no two share one.

    A picture has the name of its image, with .png added unless that is a JPEG or a PNG; see `fitting` for long names.

    Args:
        images: files.
        folder: for the pictures, in subfolders as the images have them.
        root: the images' folder, see `places`.
        flag: that names ``folder``, for the message.

    Raises:
        InputError: `keep_pictures_apart` refuses it.
    """
    own = places(images, root)
    taken = {place for place in own.values() if place.suffix.lower() in KEPT_SUFFIXES}
    pictures = {}
    for image, place in own.items():
        if place.suffix.lower() not in KEPT_SUFFIXES:
            while (place := place.with_name(fitting(f'{place.name}.png'))) in taken:
                pass
            taken.add(place)
        pictures[image] = folder / place
    keep_pictures_apart(folder, pictures, flag=flag)
    return pictures


def beside_pictures(
    images: Iterable[str | Path], folder: Path, *, suffix: str, root: str | Path | None = None
) -> dict[str, Path]:
    """A file below ``folder`` for what is written of each image, by the image's path as it is given; no two share one.

    A file has the name of its image with the suffix in place of the image's, or behind it where that is taken.

    Args:
        images: files.
        folder: for the files, in subfolders as the images have them.
        suffix: of the files, with the dot.
        root: the images' folder, see `places`.
    """
    files: dict[str, Path] = {}
    taken: set[Path] = set()
    for image, place in places(images, root).items():
        name = place.stem
        if place.with_name(fitting(f'{name}{suffix}')) in taken:
            name = place.name
        while (file := place.with_name(fitting(f'{name}{suffix}'))) in taken:
            name += '_'
        taken.add(file)
        files[image] = folder / file
    return files


def keep_pictures_apart(folder: Path, pictures: Mapping[str, Path], *, flag: str) -> None:
    """Refuse a folder for pictures that holds images, or in which a link leads to some.

    Args:
        folder: that ``flag`` names.
        pictures: the picture of each image, below ``folder``.
        flag: for the message.

    Raises:
        InputError: there is such an image.
    """
    read = {Path(path).parent for image in pictures for path in (os.path.abspath(image), os.path.realpath(image))}
    top = os.path.realpath(folder)
    subfolders = {picture.parent for picture in pictures.values()}
    leaving = {path for path in subfolders if not Path(os.path.realpath(path)).is_relative_to(top)}
    for written in (folder, *sorted(leaving)):
        keep_apart({flag: written}, read)
