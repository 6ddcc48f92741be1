"""Reading large images by windows: arrays, files that fit into memory, and TIFF and others piece by piece.

Window readers need rasterio or tifffile, the extra `mmagg[geo]`. Shape shorthand: (H, W) image, (h, w) window.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmagg.io.errors import InputError, one_line
from mmagg.io.images import bgr_image, check_image_file, image_header, read_image, turned

BUDGET = 3 * 2**28  # bytes of an image that is decoded as a whole: OpenCV reads 2^28 pixels (mmagg/__init__.py)
BAND = 2**27  # bytes of the rows that are squeezed together
CACHE = 2**27  # bytes that rasterio keeps of what it has decoded
PALETTE = 'its colours are those of a palette; convert it to RGB'
EXTRA = "pip install 'mmagg[geo]'"


@dataclass(frozen=True)
class ImageWindows:
    """An image that is read by windows.

    Attributes:
        height: H, in pixels.
        width: W.
        read: from x, y, w, h, in pixels and inside the image, to (h, w, 3) uint8 BGR.
        reader: what reads it: array, opencv, rasterio or tifffile.
    """

    height: int
    width: int
    read: Callable[[int, int, int, int], np.ndarray]
    reader: str

    def squeezed(self, height: int, width: int) -> np.ndarray:
        """The whole image made smaller, (height, width, 3) uint8 BGR, from one row of windows after the other."""
        rows = np.linspace(0, height, 1 + max(1, min(height, 3 * self.height * self.width // BAND))).astype(int)
        parts = []
        for first, end in zip(rows[:-1].tolist(), rows[1:].tolist(), strict=True):
            top, bottom = first * self.height // height, -(-end * self.height // height)
            part = self.read(0, top, self.width, bottom - top)
            parts.append(cv2.resize(part, (width, end - first), interpolation=cv2.INTER_AREA))
        return np.concatenate(parts)


@contextmanager
def opened(image: str | Path | np.ndarray, *, budget: int = BUDGET) -> Iterator[ImageWindows]:
    """Open an image for reading by windows.

    A file is decoded as a whole, as everywhere, where that takes no more than the budget; else piece by piece, by
    rasterio or tifffile. Of those with several pages, or an overview, the first page counts.

    Args:
        image: a file, or an array as of `bgr_image`, also one that is mapped from a file.
        budget: bytes of a decoded image.

    Raises:
        InputError: it cannot be read, or is larger than the budget and there is nothing to read it by windows.
    """
    if isinstance(image, np.ndarray):
        bgr_image(image[:1, :1] if image.ndim > 1 else image)  # its type and shape
        yield ImageWindows(
            image.shape[0], image.shape[1], lambda x, y, w, h: bgr_image(image[y : y + h, x : x + w]), 'array'
        )
        return
    path = Path(image)
    try:
        if not (_is_tiff(path) and path.is_file()):  # a TIFF may be of any size
            check_image_file(path)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from error
    header = image_header(path)
    if header is not None and 3 * header[1][0] * header[1][1] > budget:
        with _piecewise(path, header[1], budget) as windows:
            yield windows
    else:
        whole = read_image(path)
        yield ImageWindows(whole.shape[0], whole.shape[1], lambda x, y, w, h: whole[y : y + h, x : x + w], 'opencv')


@contextmanager
def opened_or_read(image: str | Path | np.ndarray, *, budget: int = BUDGET) -> Iterator[ImageWindows]:
    """As `opened`; but a file that nothing here reads by windows is decoded as a whole, where OpenCV does that."""
    with ExitStack() as stack:
        try:
            windows = stack.enter_context(opened(image, budget=budget))
        except InputError:
            windows = stack.enter_context(opened(image, budget=sys.maxsize))
        yield windows


@contextmanager
def _piecewise(path: Path, size: tuple[int, int], budget: int) -> Iterator[ImageWindows]:
    """An image that does not fit into the budget."""
    need = f'{path}: {size[0]} × {size[1]} pixels take {3 * size[0] * size[1] / 2**30:.1f} GiB decoded, more than the '
    need += f'budget of {budget / 2**30:.1f} GiB'
    if turned(path):
        raise InputError(f'{need}, and its EXIF data turn it: turn the pixels themselves, and save it as a tiled TIFF')
    if find_spec('rasterio') is not None:
        with _by_rasterio(path) as windows:
            yield windows
    elif find_spec('tifffile') is not None and _is_tiff(path):
        with _by_tifffile(path) as windows:
            yield windows
    else:
        raise InputError(f'{need}: {EXTRA} reads it by windows')


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in ('.tif', '.tiff')


@contextmanager
def _by_rasterio(path: Path) -> Iterator[ImageWindows]:
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window

    try:
        with rasterio.Env(GDAL_CACHEMAX=CACHE), warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)  # most are photographs
            source = rasterio.open(path)
        with rasterio.Env(GDAL_CACHEMAX=CACHE), source:
            if ColorInterp.palette in source.colorinterp:
                raise InputError(f'{path}: {PALETTE}')

            def read(x: int, y: int, w: int, h: int) -> np.ndarray:
                return _from_rgb(source.read(window=Window(x, y, w, h)).transpose(1, 2, 0), path)

            yield ImageWindows(source.height, source.width, read, 'rasterio')
    except RasterioError as error:
        raise InputError(f'{path}: {one_line(error)}') from error


@contextmanager
def _by_tifffile(path: Path) -> Iterator[ImageWindows]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0].aspage()
            if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
                raise InputError(f'{path}: {PALETTE}')

            def read(x: int, y: int, w: int, h: int) -> np.ndarray:
                return _from_rgb(_tiff_window(file, page, x, y, w, h), path)

            yield ImageWindows(page.imagelength, page.imagewidth, read, 'tifffile')
    except tifffile.TiffFileError as error:
        raise InputError(f'{path}: {one_line(error)}') from error


def _tiff_window(file: Any, page: Any, x: int, y: int, w: int, h: int) -> np.ndarray:
    """(h, w, C) of a page, from the tiles or strips that the window touches alone."""
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    down, across = -(-page.imagelength // rows), -(-page.imagewidth // columns)
    planes = len(page.dataoffsets) // (down * across)  # one after the other, unless the samples of a pixel lie together
    result = np.zeros((h, w, page.samplesperpixel), page.dtype)
    for plane in range(planes):
        channels = slice(None) if planes == 1 else slice(plane, plane + 1)
        for row in range(y // rows, -(-(y + h) // rows)):
            for column in range(x // columns, -(-(x + w) // columns)):
                index = (plane * down + row) * across + column
                if page.databytecounts[index] == 0:  # a hole in the image
                    continue
                file.filehandle.seek(page.dataoffsets[index])
                content = file.filehandle.read(page.databytecounts[index])
                try:
                    part = page.decode(content, index, jpegtables=page.jpegtables)[0]
                except (ValueError, RuntimeError, OSError) as error:  # as of a compression whose package is lacking
                    raise InputError(f'{file.filename}: {one_line(error)}; {EXTRA} has rasterio') from error
                part = part[0]  # (rows, columns, C), shorter at the image's end
                top, left = row * rows - y, column * columns - x
                t, le = max(top, 0), max(left, 0)
                b, r = min(top + part.shape[0], h), min(left + part.shape[1], w)
                result[t:b, le:r, channels] = part[t - top : b - top, le - left : r - left]
    return result


def _from_rgb(pixels: np.ndarray, path: Path) -> np.ndarray:
    """An image as a file has it, (h, w, C) of 1 to 4 channels, the first three in the order of RGB."""
    try:
        bgr = bgr_image(pixels)
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    return np.ascontiguousarray(bgr[..., ::-1])
