"""Image files: their size, bits, proportions and number."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmagg.datasets import image_check
from mmagg.datasets.coco_check import Finding, check_coco
from mmagg.io import image_windows
from mmagg.io.image_windows import opened

Check = Callable[..., list[Finding]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Checks images given as name, width and height in the file of annotations, for a test."""

    def check(*images: tuple[str, int, int], **options: object) -> list[Finding]:
        path = tmp_path / 'ann.json'
        entries = [{'id': i, 'file_name': n, 'width': w, 'height': h} for i, (n, w, h) in enumerate(images)]
        path.write_text(json.dumps({'images': entries, 'categories': [{'id': 1, 'name': 'fig'}]}))
        return check_coco(path, tmp_path, training=False, **options)

    return check


def write(path: Path, *, width: int = 30, height: int = 20, most: int = 90, dtype: type = np.uint8) -> None:
    pixels = np.linspace(0, most, width * height * 3).reshape(height, width, 3).astype(dtype)
    assert cv2.imwrite(str(path), pixels)


@pytest.mark.parametrize(
    'most, message',
    [
        (1023, '16-bit images of 12 bits or fewer, read nearly black .*: 1 (a.png up to 1023)'),
        (4095, '16-bit images of 12 bits or fewer, read nearly black .*: 1 (a.png up to 4095)'),
        (60000, '16-bit images (read with 8 bits: their values are divided by 256): 1 (a.png up to 60000)'),
    ],
)
def test_bits_that_are_lost(check: Check, tmp_path: Path, most: int, message: str) -> None:
    write(tmp_path / 'a.png', most=most, dtype=np.uint16)
    write(tmp_path / 'b.png', most=255)
    (finding,) = check(('a.png', 30, 20), ('b.png', 30, 20))
    start, _, end = message.partition('.*')
    assert finding.severity == 'warning'
    assert finding.message.startswith(start)
    assert finding.message.endswith(end)


@pytest.mark.parametrize(
    'name, most, dtype, message',
    [
        ('a.png', 3, np.uint8, 'images that are nearly black (no value above 15 of 255; .*): 1 (a.png up to 3)'),
        ('a.tiff', 0.5, np.float32, 'images of floating-point values .*)'),
    ],
)
def test_images_that_are_read_as_others(
    check: Check, tmp_path: Path, name: str, most: float, dtype: type, message: str
) -> None:
    write(tmp_path / name, most=most, dtype=dtype)
    write(tmp_path / 'b.png', most=16)
    (finding,) = check((name, 30, 20), ('b.png', 30, 20))
    start, _, end = message.partition('.*')
    assert finding.severity == 'warning'
    assert finding.message.startswith(start)
    assert finding.message.endswith(end)


def test_photographs_that_are_turned(check: Check, tmp_path: Path) -> None:
    image, exif = Image.new('RGB', (30, 20), 'grey'), Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'a.jpg', exif=exif)
    assert check(('a.jpg', 20, 30)) == []
    (finding,) = check(('a.jpg', 30, 20))
    assert finding.severity == 'fatal'
    assert finding.message.startswith('images whose width and height are swapped in the JSON (by EXIF rotation?')
    assert finding.message.endswith(': 1 (a.jpg is 20×30, not 30×20, turned by its EXIF data)')
    write(tmp_path / 'b.png')  # of an editor that dropped the EXIF data
    (finding,) = check(('a.jpg', 20, 30), ('b.png', 20, 30))
    assert 'save them upright and outline those' in finding.message
    assert finding.message.endswith(': 1 (b.png is 30×20, not 20×30)')


def test_thin_images(check: Check, tmp_path: Path) -> None:
    write(tmp_path / 'a.png', width=2000, height=2)
    write(tmp_path / 'b.png', width=99, height=1)
    both = ('a.png', 2000, 2), ('b.png', 99, 1)
    for options in ({}, {'resized_to': 500}):
        (finding,) = check(*both, **options)
        assert finding == Finding('warning', 'images of extreme proportions (100 to 1 or more): 1 (a.png, 2000×2)')
    (finding,) = check(*both, resized_to=499)
    thin = 'images so thin that nothing is left of them when resized to 499 pixels: 1 (a.png, 2000×2)'
    assert finding == Finding('fatal', thin)


def test_files_listed_again(check: Check, tmp_path: Path) -> None:
    write(tmp_path / 'a.png')
    write(tmp_path / 'b.png')
    (finding,) = check(('a.png', 30, 20), ('b.png', 30, 20), ('./a.png', 30, 20))
    assert finding.severity == 'warning'
    assert finding.message.startswith('files listed more than once among the images')
    assert finding.message.endswith(': 1 (a.png 2 times)')


def test_names_that_are_no_text(check: Check) -> None:
    missing, impossible = check(('b\udcff.png', 30, 20), ('a\0.png', 30, 20), ('a\nb.png', 30, 20))
    assert 'has a zero byte' in impossible.message
    assert '2 (b\\udcff.png, a\\nb.png)' in missing.message
    for finding in (missing, impossible):
        finding.message.encode()


def test_of_many_images_a_sample_is_decoded(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_check, 'DECODED', 2)
    names = [f'{i}.png' for i in range(6)]
    for name in names:
        write(tmp_path / name)
    decode, decoded = cv2.imdecode, []
    monkeypatch.setattr(cv2, 'imdecode', lambda data, flags: decoded.append(0) or decode(data, flags))
    images = [(name, 30, 20) for name in names]
    note = Finding('note', '6 images: the size of all was read, 2 of them, evenly spread, were decoded as well')
    assert check(*images) == [note]
    assert len(decoded) == 2
    (tmp_path / '1.png').write_bytes(b'')
    fatal, *_ = check(*images[:4], ('4.png', 31, 20), images[5])
    assert fatal.message == 'images that cannot be decoded: 1 (1.png)'
    assert '4.png is 30×20, not 31×20' in check(*images[:4], ('4.png', 31, 20), images[5])[1].message


def test_images_to_test_need_no_annotations(check: Check, tmp_path: Path) -> None:
    write(tmp_path / 'a.png')
    assert check(('a.png', 30, 20)) == []


def test_large_images_of_tiles_are_opened_by_windows(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoded as a whole they would fill the memory, or have more pixels than OpenCV reads."""
    write(tmp_path / 'a.png')
    pixels = cv2.imread(str(tmp_path / 'a.png'))
    monkeypatch.setattr(image_check, 'BUDGET', pixels.nbytes - 1)
    monkeypatch.setattr(image_windows, 'find_spec', lambda name: None)
    (found,) = check(('a.png', 30, 20), tile=16)
    assert found.severity == 'fatal'
    assert "pip install 'mmagg[geo]'" in str(found)
    monkeypatch.setattr(image_check, 'opened', lambda path, budget: opened(pixels))
    monkeypatch.setattr(image_check, 'decode_image', None)
    assert check(('a.png', 30, 20), tile=16) == []
    (found,) = check(('a.png', 31, 20), tile=16)
    assert 'a.png is 30×20, not 31×20' in str(found)
