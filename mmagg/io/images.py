"""Finding, reading and writing images."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from mmagg.io.errors import InputError
from mmagg.io.files import written_whole
from mmagg.io.partial import PARTIAL
from mmagg.io.paths import fitting

# What OpenCV decodes; whether AVIF is among it depends on how it was built.
SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm', '.jp2', '.avif'}
# Images that it does not decode, or, of an animated GIF, the first one alone.
OTHER_SUFFIXES = {'.gif', '.heic', '.heif', '.jxl', '.tga', '.ico', '.psd', '.svg'} | {
    f'.{raw}' for raw in ('arw', 'cr2', 'cr3', 'dng', 'nef', 'orf', 'raf', 'rw2')
}
KEPT_SUFFIXES = {'.jpg', '.jpeg', '.png'}  # results in other formats become PNG
PIXELS = 'OPENCV_IO_MAX_IMAGE_PIXELS'  # OpenCV's variable for the most pixels of an image
ORIENTATION = 0x0112  # EXIF's tag
LARGEST = 2**31  # bytes of an image's file; OpenCV decodes no larger one
_opening = Lock()


def find_images(source: Path, exclude: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The image ``source`` itself, or all images below it that do not lie in ``exclude``, sorted.

    A link that leads nowhere, as to data that were not fetched, counts as an image: reading it says what is wrong.

    Returns:
        The images, and those of formats that are not read (see `unread`).

    Raises:
        InputError: no such file or folder, or no image in it that can be read.
    """
    if source.is_file():
        if source.suffix.lower() in OTHER_SUFFIXES:
            raise InputError(f'{source}: {unread([source])}')
        return [source], []
    if not source.is_dir():
        if source.exists():
            check_image_file(source)
        raise InputError(f'{source}: no such file or folder')
    files = sorted(
        path
        for path in source.rglob('*')
        if path.suffix.lower() in SUFFIXES | OTHER_SUFFIXES
        and (path.is_file() or leads_nowhere(path))
        and not PARTIAL.fullmatch(path.name)
        and not (exclude is not None and Path(os.path.realpath(path)).is_relative_to(exclude.resolve()))
    )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    others = [path for path in files if path.suffix.lower() in OTHER_SUFFIXES]
    if not found:
        hint = f'; {len(others)} images: {unread(others)}' if others else ''
        raise InputError(f'{source}: no images in it ({", ".join(sorted(SUFFIXES))}){hint}')
    return found, others


def leads_nowhere(path: Path) -> bool:
    """True for a link to what is not there, or to itself."""
    return path.is_symlink() and not path.exists()


def unread(images: Sequence[Path]) -> str:
    """What to say of images in formats that are not read: which ones, and what to do."""
    return f'{", ".join(sorted({path.suffix.lower() for path in images}))} not supported; convert to JPEG or PNG'


def read_image(path: Path) -> np.ndarray:
    """Read an image as mmdet's pipelines do: (H, W, 3) uint8 BGR, turned as its EXIF data says.

    Raises:
        InputError: missing, or not an image that OpenCV decodes.
    """
    try:
        check_image_file(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error
    image = decode_image(content, cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f'{path}: {too_many_pixels(path) or "cannot be read as an image"}')
    return bgr_image(image)  # OpenCV leaves a grey .pfm grey


def check_image_file(path: str | Path) -> None:
    """Refuse what cannot be an image's file, and would be waited for, or fill the memory, if it were read.

    Raises:
        OSError: it is not there.
        InputError: it is a folder, a pipe or a device, or too large.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise InputError(
            f'{path}: is {"a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"}, not an image'
        )
    if found.st_size > LARGEST:
        raise InputError(f'{path}: {found.st_size:,} bytes, too large for an image')


def image_size(path: str | Path) -> tuple[int, int] | None:
    """(width, height) of an image by its header, as it is stored; None if that cannot be read."""
    found = image_header(path)
    return found and found[1]


def image_header(file: str | Path | BinaryIO) -> tuple[str | None, tuple[int, int]] | None:
    """The format of an image, and its (width, height) as it is stored; None if its header cannot be read."""
    with _opening:  # Pillow refuses large images even to be opened, unless told otherwise for the whole process
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(file) as image:
                return image.format, image.size
        except Exception:  # Pillow raises many kinds
            return None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def orientation(image: Image.Image) -> int:
    """How an image that Pillow has opened is shown, by its EXIF data: 1 as it is stored; no pixel is decoded."""
    return Image.Image.getexif(image).get(ORIENTATION, 1)  # that of PNG decodes all, for data that stand behind


def turned(path: str | Path) -> bool:
    """Whether the EXIF data of an image, which Pillow can open, say that it is shown otherwise than it is stored."""
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(path) as image:
                return orientation(image) != 1
        except Exception:  # Pillow raises many kinds, as of broken EXIF data
            return False
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def too_many_pixels(path: str | Path) -> str:
    """What to say of an image with more pixels than OpenCV reads; empty for others."""
    limit = os.environ.get(PIXELS, '')
    width, height = image_size(path) or (0, 0)
    if width * height <= (int(limit) if limit.isdecimal() else 2**30):
        return ''
    return f'{width} × {height} pixels, more than are read ({PIXELS}={limit}); raise that or cut it into tiles'


def decode_image(content: np.ndarray, how: int) -> np.ndarray | None:
    """The pixels of an image file; None if OpenCV cannot decode it.

    Args:
        content: (N,) uint8, the file.
        how: OpenCV's flags.
    """
    try:
        return cv2.imdecode(content, how) if content.size else None
    except cv2.error:  # its header says more pixels than OpenCV reads
        return None


def bgr_image(pixels: np.ndarray) -> np.ndarray:
    """An image in memory as `read_image` would read it: (H, W, 3) uint8 BGR; as it is, not copied, if it is that.

    Args:
        pixels: uint8, or uint16 of 16 bits a value; grey (H, W) or (H, W, 1), grey and alpha (H, W, 2), BGR (H, W, 3)
            or BGR and alpha (H, W, 4). Alpha is dropped.

    Raises:
        InputError: the array has another type or shape.
    """
    kind = f'image: an array of {pixels.dtype}, shape {pixels.shape}'
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f'{kind}; give uint8, with values from 0 to 255')
    if pixels.ndim == 4:
        raise InputError(f'{kind}; give a list of images, as list(images) is')
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] > 4):
        raise InputError(f'{kind}; give (height, width, 3) BGR, or (height, width) grey')
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 3:
        return pixels
    return np.ascontiguousarray(pixels[..., :3] if pixels.shape[2] == 4 else pixels[..., :1].repeat(3, axis=2))


def picture_path(path: Path) -> Path:
    """Where `write_image` writes to: .png is added to names that do not end as JPEG's or PNG's; no name is too long."""
    name = path.name if path.suffix.lower() in KEPT_SUFFIXES else f'{path.name}.png'
    return path.with_name(fitting(name))


def write_image(image: np.ndarray, path: Path) -> Path:
    """Write an (H, W, 3) uint8 BGR image, whole or not at all, to the `picture_path`, which is returned."""
    path = picture_path(path)
    with written_whole(path) as temporary:
        # Not by imwrite, which crashes at names that are not UTF-8.
        done, content = cv2.imencode(path.suffix.lower(), image)
        if not done:
            raise OSError(f'{path}: cannot be written')
        temporary.write_bytes(content.tobytes())
    return path
