"""What may be given as images: files, folders, globs, arrays, PIL images, tensors, and lists and generators of them."""

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import ImageOps
from PIL.Image import Image

from mmagg.io.errors import InputError, one_line
from mmagg.io.images import OTHER_SUFFIXES, SUFFIXES, bgr_image, find_images, read_image, unread
from mmagg.io.pictures import places
from mmagg.rle.arrays import is_tensor

if TYPE_CHECKING:
    from torch import Tensor

Picture = Union[str, Path, np.ndarray, Image, 'Tensor']
CHANNELS = (1, 3, 4)  # of a tensor
DEEP, UNBOUNDED = 'I;16', ('I', 'F')  # modes of PIL: of 16 bits, and without a range that is known


@dataclass(frozen=True)
class ImageSource:
    """An image that is a file, or in memory.

    Attributes:
        name: of a file its path below the folder that was given, or that holds all of a list, with slashes;
            ``image_0``, … for others.
        path: of a file.
        pixels: (H, W, 3) uint8 BGR of one in memory.
        fault: what is wrong with it, so that it is not even opened.
    """

    name: str
    path: Path | None = None
    pixels: np.ndarray | None = None
    fault: InputError | None = None

    def read(self) -> np.ndarray:
        """(H, W, 3) uint8 BGR.

        Raises:
            InputError: it cannot be read.
        """
        if self.fault is not None:
            raise self.fault
        if self.pixels is not None:
            return self.pixels
        assert self.path is not None
        return read_image(self.path)

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)


@dataclass(frozen=True)
class ImageSources:
    """The images of one call.

    Attributes:
        images: one after the other; of a generator, each is asked for when it is needed.
        kind: 'image' for a single one, 'folder' also for a glob, 'several'.
    """

    images: Iterator[ImageSource]
    kind: str


def image_sources(images: Any, *, rgb: bool = False) -> ImageSources:
    """The images that an argument stands for.

    Args:
        images: a file, a folder, which is searched for images, a glob such as ``photos/**/*.jpg``; an array as of
            `bgr_image`; a PIL image; a tensor (C, H, W) or (H, W, C) of 1, 3 or 4 channels or (H, W), uint8; or an
            iterable of files, arrays, PIL images and tensors.
        rgb: arrays and tensors are RGB instead of BGR. A PIL image says itself what it is, and is turned as its EXIF
            data say, as its file would be.

    Raises:
        InputError: there is no such file or folder, it holds no images, or the argument is of another type.
    """
    if isinstance(images, str | Path):
        _check_no_url(images)
        path = Path(images)
        if path.is_dir() or (glob.has_magic(str(images)) and not path.exists()):
            found = list(_in_folder(path) if path.is_dir() else _matching(str(images)))
            return ImageSources(iter(found), 'folder')
        find_images(path)
    if isinstance(images, str | Path | np.ndarray | Image) or is_tensor(images):
        return ImageSources(iter([_source(images, 0, rgb, {})]), 'image')
    if not isinstance(images, Iterable) or isinstance(images, bytes):
        raise InputError(
            f'images: {type(images).__name__} is no file, folder, glob, array, PIL image, tensor, nor several of them'
        )
    names = _names(images) if isinstance(images, Sequence) else {}
    return ImageSources((_source(image, i, rgb, names) for i, image in enumerate(images)), 'several')


def _names(images: Sequence[Picture]) -> dict[str, str]:
    """The names of a list's files, below the deepest folder that holds all, so that no two share one."""
    found = places(image for image in images if isinstance(image, str | Path) and '://' not in str(image))
    return {image: place.as_posix() for image, place in found.items()}


def _in_folder(folder: Path) -> Iterator[ImageSource]:
    found, others = find_images(folder)
    yield from (_of_format(path, path.relative_to(folder).as_posix()) for path in sorted([*found, *others]))


def matching(pattern: str) -> list[Path]:
    """The images that a glob such as ``photos/**/*.jpg`` matches, sorted.

    Raises:
        InputError: there are none.
    """
    paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES]
    if not paths:
        raise InputError(f'{pattern}: no images match ({", ".join(sorted(SUFFIXES))})')
    return paths


def _matching(pattern: str) -> Iterator[ImageSource]:
    paths = matching(pattern)
    names = places(paths)
    yield from (_of_format(path, names[str(path)].as_posix()) for path in paths)


def _of_format(path: Path, name: str) -> ImageSource:
    other = path.suffix.lower() in OTHER_SUFFIXES
    return ImageSource(name, path, fault=InputError(f'{path}: {unread([path])}') if other else None)


def _source(image: Picture, place: int, rgb: bool, names: Mapping[str, str]) -> ImageSource:
    """One image, of a file with the name by its path; a fault of one in memory is kept for those who skip it."""
    if isinstance(image, str | Path):
        try:
            _check_no_url(image)
        except InputError as error:
            return ImageSource(str(image), fault=error)
        return ImageSource(names.get(str(image), Path(image).name), Path(image))
    name = f'image_{place}'
    try:
        return ImageSource(name, pixels=_bgr(image, rgb))
    except InputError as error:
        return ImageSource(name, fault=InputError(f'{name}: {str(error).removeprefix("image: ")}'))


def _check_no_url(image: str | Path) -> None:
    if '://' in str(image):
        raise InputError(f'{image}: a URL is not fetched; download it and name the file')


def _bgr(image: Any, rgb: bool) -> np.ndarray:
    """(H, W, 3) uint8 BGR of an image in memory.

    Raises:
        InputError: it is none.
    """
    if isinstance(image, Image):
        return _of_pil(image)
    if is_tensor(image):
        if (kind := str(image.dtype).removeprefix('torch.')) not in ('uint8', 'uint16'):  # NumPy has no bfloat16
            raise InputError(f'image: a tensor of {kind}; give uint8, with values from 0 to 255')
        image = _channels_last(image.detach().cpu()).numpy()
    elif not isinstance(image, np.ndarray):
        raise InputError(f'image: {type(image).__name__} is no file, array, PIL image or tensor')
    pixels = bgr_image(image)
    return np.ascontiguousarray(pixels[..., ::-1]) if rgb else pixels


def _of_pil(image: Image) -> np.ndarray:
    """(H, W, 3) uint8 BGR of a PIL image, as its file would be read.

    Raises:
        InputError: it cannot be decoded, or nothing says which of its values is white.
    """
    if image.mode in UNBOUNDED:
        raise InputError(f'image: a PIL image of mode {image.mode}, whose range is not known; convert it to RGB')
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith(DEEP):  # of which Pillow would make white
            return bgr_image(np.asarray(image).astype(np.uint16))
        return np.ascontiguousarray(bgr_image(np.asarray(image.convert('RGB')))[..., ::-1])
    except Exception as error:  # Pillow, which decodes it here, raises many kinds: its file may be cut off, or closed
        raise InputError(f'image: cannot be read: {one_line(error)}') from error


def _channels_last(image: 'Tensor') -> 'Tensor':
    """(H, W, C) or (H, W) of a tensor, whose first or last dimension is that of the channels.

    Raises:
        InputError: both may be.
    """
    if image.ndim == 3 and image.shape[0] in CHANNELS:
        if image.shape[2] in CHANNELS:
            raise InputError(
                f'image: a tensor of shape {tuple(image.shape)}: are its channels first or last? give an array, whose '
                'channels are last'
            )
        return image.permute(1, 2, 0)
    return image
