"""Images of data sets read one by one, in threads: those that can be, and why others cannot."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmagg.datasets.coco_file import BAD
from mmagg.formats.annotated_image import AnnotatedImage
from mmagg.formats.source import Size, SourceImage
from mmagg.formats.written import Example
from mmagg.io.errors import InputError, one_line
from mmagg.io.images import check_image_file, decode_image, too_many_pixels


def read_all(images: Sequence[SourceImage], number: int, folder: Path, skipped: list[str]) -> Iterator[Example]:
    """The images of a source that can be read, in order.

    Args:
        images: of the source.
        number: of the source, with which names begin.
        folder: of the source, below which the rest of a name is.
        skipped: why others cannot be read is added to it, and what of images is left out.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(_read, images)
        for image, (found, said) in zip(tqdm(images, folder.name, leave=False, delay=2), read, strict=True):
            path = image.file
            below = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
            skipped += said if found is None else [f'{below}: {line}' if below not in line else line for line in said]
            if found is not None:
                yield Example(f'{number}/{below}', image.part, image, found)


def _read(image: SourceImage) -> tuple[AnnotatedImage | None, list[str]]:
    """The instances of an image, and what of them is left out; None, and why, where they cannot be read."""
    said: list[str] = []
    try:
        return image.read(_size(image), said), said
    except (OSError, cv2.error, MemoryError, *BAD) as error:
        line = one_line(error)
        return None, [line if str(image.file) in line else f'{image.file}: {line}']


def _size(image: SourceImage) -> Size:
    """(H, W) of an image that is decoded as a training reads it, turned as its EXIF data say.

    Raises:
        InputError: it cannot be decoded.
    """
    if image.embedded is None:
        check_image_file(image.file)
    pixels = decode_image(np.frombuffer(image.content(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        why = too_many_pixels(image.file) if image.embedded is None else ''
        raise InputError(f'{image.file}: {why or "cannot be read as an image"}')
    return pixels.shape[0], pixels.shape[1]
