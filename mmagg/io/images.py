"""Finding, reading and writing images."""

from pathlib import Path

import cv2
import numpy as np

from mmagg.io.errors import InputError
from mmagg.io.files import written_whole

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm'}
KEPT_SUFFIXES = {'.jpg', '.jpeg', '.png'}  # results in other formats become PNG


def find_images(source: Path, exclude: Path) -> list[Path]:
    """The image ``source`` itself, or all images below it that do not lie in ``exclude``, sorted.

    Raises:
        InputError: no such file or folder, or no image in it.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f'{source}: no such file or folder')
    found = sorted(
        path
        for path in source.rglob('*')
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.resolve().is_relative_to(exclude.resolve())
    )
    if not found:
        raise InputError(f'{source}: no images in it ({", ".join(sorted(SUFFIXES))})')
    return found


def read_image(path: Path) -> np.ndarray:
    """Read an image as mmdet's pipelines do: (H, W, 3) uint8 BGR, turned as its EXIF data says.

    Raises:
        InputError: missing, or not an image that OpenCV decodes.
    """
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise InputError(f'{path}: cannot be read as an image')
    return image


def write_image(image: np.ndarray, path: Path) -> Path:
    """Write an (H, W, 3) uint8 BGR image, whole or not at all; returns its path, with .png added unless JPEG or PNG."""
    if path.suffix.lower() not in KEPT_SUFFIXES:
        path = path.with_name(path.name + '.png')
    with written_whole(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise OSError(f'{path}: cannot be written')
    return path
