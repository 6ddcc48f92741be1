"""Windows of images: every reader gives what OpenCV reads of the whole."""

import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmagg.io import image_windows
from mmagg.io.errors import InputError
from mmagg.io.image_windows import opened
from mmagg.io.map_position import map_position

WINDOWS = [(0, 0, 70, 50), (0, 0, 1, 1), (13, 7, 40, 30), (69, 49, 1, 1), (31, 15, 2, 33), (16, 16, 16, 16)]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let packages be not installed."""
    find = image_windows.find_spec
    monkeypatch.setattr(image_windows, 'find_spec', lambda name: None if name in packages else find(name))


def check(path: Path | np.ndarray, image: np.ndarray, reader: str, budget: int = 1) -> None:
    with opened(path, budget=budget) as windows:
        assert (windows.height, windows.width, windows.reader) == (*image.shape[:2], reader)
        for x, y, w, h in WINDOWS:
            assert np.array_equal(windows.read(x, y, w, h), image[y : y + h, x : x + w])


def test_arrays_and_files_that_fit(image: np.ndarray, tmp_path: Path) -> None:
    check(image, image, 'array')
    grey16 = image[..., 0].astype(np.uint16) * 256
    check(grey16, np.repeat(image[..., :1], 3, axis=2), 'array')
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    check(tmp_path / 'a.png', image, 'opencv', budget=image.nbytes)


@pytest.mark.parametrize(
    'options',
    [
        {'tile': (16, 16)},
        {'tile': (16, 16), 'compression': 'zlib', 'predictor': True},
        {'rowsperstrip': 7},
        {'rowsperstrip': 50},
        {'tile': (32, 16), 'planarconfig': 'separate'},
        {'tile': (16, 16), 'bigtiff': True},
    ],
)
@pytest.mark.parametrize('reader', ['tifffile', 'rasterio'])
def test_tiff_by_windows(image: np.ndarray, tmp_path: Path, options: dict, reader: str, monkeypatch) -> None:
    tifffile = pytest.importorskip('tifffile')
    pytest.importorskip(reader)
    if reader == 'tifffile':
        without(monkeypatch, 'rasterio')
    pixels = image[..., ::-1]
    if options.get('planarconfig'):
        pixels = pixels.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / 'a.tif', np.ascontiguousarray(pixels), photometric='rgb', **options)
    check(tmp_path / 'a.tif', image, reader)


@pytest.mark.parametrize('channels, kind', [(1, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_tiff_of_other_kinds(image: np.ndarray, tmp_path: Path, channels: int, kind: type, monkeypatch) -> None:
    tifffile = pytest.importorskip('tifffile')
    without(monkeypatch, 'rasterio')
    pixels = np.concatenate([image[..., ::-1], image[..., :1]], axis=2)[..., :channels].astype(kind)
    pixels = pixels * 256 if kind == np.uint16 else pixels
    how = 'minisblack' if channels == 1 else 'rgb'
    tifffile.imwrite(tmp_path / 'a.tif', pixels.squeeze(), photometric=how, tile=(16, 16))
    check(tmp_path / 'a.tif', image if channels > 1 else np.repeat(image[..., 2:], 3, axis=2), 'tifffile')


def test_rasterio_reads_others_line_by_line(image: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip('rasterio')
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    check(tmp_path / 'a.png', image, 'rasterio')


def test_what_does_not_fit_is_said_before_it_is_read(image: np.ndarray, tmp_path: Path, monkeypatch) -> None:
    without(monkeypatch, 'rasterio')
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    with pytest.raises(
        InputError, match=r"a\.png: 70 × 50 pixels take .* GiB .* budget .*: pip install 'mmagg\[geo\]'"
    ):
        check(tmp_path / 'a.png', image, '')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / 'turned.jpg', exif=exif)
    with pytest.raises(InputError, match='its EXIF data turn it'):
        check(tmp_path / 'turned.jpg', image, '')
    with pytest.raises(InputError, match=r'none\.tif: No such file'):
        check(tmp_path / 'none.tif', image, '')
    Image.fromarray(image).convert('P').save(tmp_path / 'palette.tif')
    with pytest.raises(InputError, match='a palette; convert it to RGB'):
        check(tmp_path / 'palette.tif', image, '')


@pytest.mark.parametrize('size', [(1, 1), (25, 35), (13, 50), (50, 70)])
def test_the_whole_is_squeezed_as_opencv_does(image: np.ndarray, size: tuple[int, int], monkeypatch) -> None:
    with opened(image) as windows:
        assert np.array_equal(windows.squeezed(*size), cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA))
        monkeypatch.setattr(image_windows, 'BAND', image.nbytes // 4)
        banded = windows.squeezed(*size)
    assert banded.shape == (*size, 3)
    if size == (25, 35):  # where bands end between pixels
        assert np.array_equal(banded, cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA))


def test_the_place_on_the_map(tmp_path: Path, image: np.ndarray) -> None:
    rasterio = pytest.importorskip('rasterio')
    transform = rasterio.Affine(0.25, 0, 500000, 0, -0.25, 5400000)
    layout = {'width': 70, 'height': 50, 'count': 3, 'dtype': 'uint8'}
    with rasterio.open(
        tmp_path / 'a.tif', 'w', driver='GTiff', crs='EPSG:32632', transform=transform, **layout
    ) as file:
        file.write(image.transpose(2, 0, 1))
    assert map_position(tmp_path / 'a.tif') == ((0.25, 0, 500000, 0, -0.25, 5400000), 'EPSG:32632')
    cv2.imwrite(str(tmp_path / 'b.png'), image)
    assert map_position(tmp_path / 'b.png') is None
    with pytest.raises(InputError, match='none'):
        map_position(tmp_path / 'none.tif')


def test_what_the_place_on_the_map_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'rasterio', None)
    with pytest.raises(InputError, match=r"pip install 'mmagg\[geo\]'"):
        map_position('a.tif')


def test_what_opencv_does_not_read_is_read_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads 2^28 pixels (`mmagg/__init__.py`); the budget is no larger."""
    path = tmp_path / 'huge.png'
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))
    content = path.read_bytes()
    header = b'IHDR' + (16_400).to_bytes(4, 'big') * 2 + content[24:29]
    path.write_bytes(content[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + content[33:])
    without(monkeypatch, 'rasterio', 'tifffile')
    with pytest.raises(InputError, match=r"16400 × 16400 pixels .*: pip install 'mmagg\[geo\]'"), opened(path):
        pass
