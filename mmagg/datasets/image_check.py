"""Checks the image files of a COCO file: that they are there, can be decoded, and have the size that it says."""

import math
import os
import posixpath
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from mmagg.datasets.coco_defects import Severity, name_defect, size_defect
from mmagg.datasets.coco_file import Entry
from mmagg.datasets.findings import Findings
from mmagg.io.errors import InputError
from mmagg.io.image_windows import BUDGET, opened
from mmagg.io.images import check_image_file, decode_image, image_size, orientation, too_many_pixels

DECODED = 5000  # images that are decoded at most
THIN = 100  # times as long as wide, from which on an image is odd
LARGE = 2**26  # pixels of an image that is decoded alone
DIM = 4095  # the largest value of 12 bits
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width

MISSING = 'image files that are missing or unreadable'
BROKEN = 'images that cannot be decoded'
OTHER_SIZE = 'images whose size is not the one in the JSON (masks would not fit)'
SWAPPED = (
    'images whose width and height are swapped in the JSON (by EXIF rotation? the outlines would not fit: '
    'save them upright and outline those)'
)
DARK = (
    '16-bit images of 12 bits or fewer, read nearly black since 8 of 16 bits are kept '
    '(multiply the values so that they reach 65535, or save them with 8 bits)'
)
DEEP = '16-bit images (read with 8 bits: their values are divided by 256)'
BLACK = f'images that are nearly black (no value above {DIM >> 8} of 255; label maps instead of images?)'
FLOAT = 'images of floating-point values (as they are read, multiplied by 255 and cut off there; save them with 8 bits)'
AGAIN = 'files listed more than once among the images (what one entry annotates is background in the others)'

_one_at_a_time = Lock()

Found = tuple[Severity, str, str]
"""Severity, kind and example."""


def check_images(
    findings: Findings,
    images: list[Entry],
    folder: Path,
    *,
    decode: bool,
    resized_to: int | None,
    tile: int | None = None,
) -> None:
    """Add the findings on image files.

    Args:
        findings: what is added to.
        images: with `file_name`, `height` and `width` each.
        folder: that the file names are relative to.
        decode: decode them, all up to `DECODED` and else an even sample; otherwise only see that they are there.
        resized_to: pixels of the longer side in the pipeline, None where it is not known.
        tile: side of the tiles, in pixels, that images are cut into before they are resized; what is read window by
            window then, see `mmagg.io.image_windows`, is opened so instead of being decoded. None: they are not cut.
    """
    if not folder.is_dir():
        findings.add('fatal', 'image folder is missing', [folder], of=1)
        return
    names = Counter(posixpath.normpath(image['file_name']) for image in images)
    findings.add('warning', AGAIN, (f'{name} {n} times' for name, n in names.items() if n > 1))
    for image in images:
        for severity, kind, example in _thin(image, resized_to, tile):
            findings.add(severity, kind, [example])
    decoded = np.arange(len(images)) * min(DECODED, len(images)) % len(images) < DECODED  # an even sample
    if decode and not decoded.all():
        what = f'the size of all was read, {decoded.sum()} of them, evenly spread, were decoded as well'
        findings.say('note', f'{len(images)} images: {what}')
    looked_at = partial(_defects, folder=folder, decode=decode, windows=tile is not None)
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        defects = pool.map(looked_at, images, decoded)
        for found in tqdm(defects, total=len(images), desc='images', unit='image', delay=2):
            for severity, kind, example in found:
                findings.add(severity, kind, [example], of=0 if kind in (OTHER_SIZE, SWAPPED) else len(images))


def _thin(image: Entry, resized_to: int | None, tile: int | None) -> Iterator[Found]:
    """Whether an image is so thin that its shorter side vanishes when its longer side is resized."""
    if size_defect(image['height'], image['width']).kind:
        return
    shorter, longer = sorted(side if tile is None else min(side, tile) for side in (image['width'], image['height']))
    if longer < THIN * shorter:
        return
    example = f'{image["file_name"]}, {image["width"]}×{image["height"]}'
    # As mmcv's rescale_size rounds.
    if resized_to and int(shorter * resized_to / longer + 0.5) < 1:
        yield 'fatal', f'images so thin that nothing is left of them when resized to {resized_to} pixels', example
    else:
        yield 'warning', f'images of extreme proportions ({THIN} to 1 or more)', example


def _defects(image: Entry, decoded: bool, *, folder: Path, decode: bool, windows: bool) -> list[Found]:
    """What is wrong with an image file."""
    name = image['file_name']
    if (defect := name_defect(name)).kind:
        return [(defect.severity, defect.kind, name)]
    try:
        path = folder / name
        if not decode:
            return [] if path.is_file() else [('fatal', 'missing image files', name)]
        if windows and 3 * math.prod(image_size(path) or (0, 0)) > BUDGET:
            return list(_window_defects(image, path))
        check_image_file(path)
        size = image['height'], image['width']
        if not decoded and _size_by_header(path) == size:
            return []
        with _one_at_a_time if _is_large(path) else nullcontext():
            return list(_decoded_defects(image, np.fromfile(path, np.uint8), path))
    except (OSError, InputError):
        return [('fatal', f'{MISSING} in {folder}', name)]


def _window_defects(image: Entry, path: Path) -> Iterator[Found]:
    name = image['file_name']
    try:
        with opened(path, budget=BUDGET) as file:
            file.read(0, 0, 1, 1)
    except InputError as error:
        yield 'fatal', BROKEN, f'{name}: {error}'
        return
    if (file.height, file.width) != (image['height'], image['width']):
        yield 'fatal', OTHER_SIZE, f'{name} is {file.width}×{file.height}, not {image["width"]}×{image["height"]}'


def _decoded_defects(image: Entry, data: np.ndarray, path: Path) -> Iterator[Found]:
    name = image['file_name']
    # As mmcv loads it, EXIF orientation applied, but with all bits.
    pixels = decode_image(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        reason = too_many_pixels(path)
        yield 'fatal', BROKEN, f'{name}: {reason}' if reason else name
        return
    height, width = pixels.shape[:2]
    if (height, width) != (image['height'], image['width']):
        turned = ', turned by its EXIF data' if _orientation(path) in TURNED else ''
        kind = SWAPPED if (width, height) == (image['height'], image['width']) else OTHER_SIZE
        yield 'fatal', kind, f'{name} is {width}×{height}, not {image["width"]}×{image["height"]}{turned}'
    most = pixels.max()
    if pixels.dtype == np.uint16:
        yield 'warning', DARK if most <= DIM else DEEP, f'{name} up to {most}'
    elif pixels.dtype != np.uint8:
        yield 'warning', FLOAT, f'{name} up to {most:.4g}'
    elif most <= DIM >> 8:
        yield 'warning', BLACK, f'{name} up to {most}'


def _size_by_header(path: Path) -> tuple[int, int] | None:
    """(height, width) of an image as it is read, without decoding it; None where that is not sure."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = orientation(image) in TURNED
    except FileNotFoundError:
        raise
    except Exception:  # Pillow raises many kinds
        return None
    return (width, height) if turned else (height, width)


def _is_large(path: Path) -> bool:
    """Whether a processor's worth of such images, decoded at once, might fill the memory."""
    return math.prod(image_size(path) or (0, 0)) > LARGE


def _orientation(path: Path) -> int | None:
    try:
        with Image.open(path) as image:
            return orientation(image)
    except Exception:  # Pillow raises many kinds
        return None
