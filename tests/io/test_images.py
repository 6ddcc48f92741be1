"""Images are found, read and written, whatever their names and formats."""

import os
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.datasets import image_check
from mmagg.datasets.findings import Finding, Findings
from mmagg.datasets.image_check import check_images
from mmagg.datasets.image_errors import NamingPipeline
from mmagg.io.errors import InputError
from mmagg.io.images import bgr_image, find_images, read_image, write_image
from mmagg.io.paths import fitting

PIXELS = np.full((4, 6, 3), 90, np.uint8)


def test_formats_that_are_not_read_are_found_apart(tmp_path: Path) -> None:
    for name in ('a.PNG', 'b.heic', 'c.GIF', 'notes.txt', 'out/d.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, others = find_images(tmp_path, exclude=tmp_path / 'out')
    assert [path.name for path in found] == ['a.PNG']
    assert [path.name for path in others] == ['b.heic', 'c.GIF']
    (tmp_path / 'a.PNG').unlink()
    for source in (tmp_path, tmp_path / 'b.heic'):
        with pytest.raises(InputError, match=r'\.heic not supported; convert to JPEG or PNG'):
            find_images(source, exclude=tmp_path / 'out')


def test_links_that_lead_nowhere_are_found_and_named(tmp_path: Path) -> None:
    (tmp_path / 'a.png').touch()
    for name, target in (('b.png', 'missing.png'), ('c.png', 'c.png')):
        (tmp_path / name).symlink_to(tmp_path / target)
    (whole, *others), _ = find_images(tmp_path, exclude=tmp_path / 'out')
    assert whole.name == 'a.png'
    assert [path.name for path in others] == ['b.png', 'c.png']
    for path in others:
        with pytest.raises(InputError, match=path.name):
            read_image(path)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'a\xff.png')
    try:
        path.touch()
    except OSError:
        pytest.skip('this file system has names in UTF-8 alone')
    assert write_image(PIXELS, path) == path
    assert (read_image(path) == PIXELS).all()


@pytest.mark.parametrize(
    'name, written', [('a.bmp', 'a.bmp.png'), ('a.JPG', 'a.JPG'), (f'{"a" * 250}.png', None), ('x' * 255, None)]
)
def test_names_of_pictures(tmp_path: Path, name: str, written: str | None) -> None:
    written = fitting(f'{name}.png') if name == 'x' * 255 else written
    assert write_image(PIXELS, tmp_path / name).name == (written or name)
    assert os.listdir(tmp_path) == [written or name]


def test_a_link_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'original.png'), PIXELS)
    (tmp_path / 'link.png').symlink_to(tmp_path / 'original.png')
    write_image(0 * PIXELS, tmp_path / 'link.png')
    assert (read_image(tmp_path / 'original.png') == PIXELS).all()
    assert not (tmp_path / 'link.png').is_symlink()


@pytest.mark.parametrize('channels', [None, 1, 3, 4])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_arrays_are_what_reading_their_file_gives(tmp_path: Path, kind: type, channels: int | None) -> None:
    shape = (4, 6) if channels is None else (4, 6, channels)
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    image = bgr_image(pixels)
    assert image.flags.c_contiguous
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, read_image(tmp_path / 'a.png'))


def test_grey_is_read_as_colour(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(b'Pf\n4 4\n-1.0\n' + bytes(64))
    assert read_image(path).shape == (4, 4, 3)


def test_an_image_stays_what_it_is() -> None:
    assert bgr_image(PIXELS) is PIXELS
    np.testing.assert_array_equal(bgr_image(np.stack([PIXELS[..., 0], 0 * PIXELS[..., 0]], axis=2)), PIXELS)  # alpha


@pytest.mark.parametrize(
    'pixels',
    [
        np.zeros((4, 6, 3)),
        np.zeros((4, 6), bool),
        np.zeros((4, 6, 5), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        np.array(['a']),
    ],
)
def test_arrays_that_are_no_images(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r'^image: an array of \S+, shape \(.*\); give [^\n]+$'):
        bgr_image(pixels)


def test_a_header_of_more_pixels_than_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / 'huge.png'
    assert cv2.imwrite(str(path), PIXELS)
    content = path.read_bytes()
    header = b'IHDR' + (30_000).to_bytes(4, 'big') * 2 + content[24:29]
    path.write_bytes(content[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + content[33:])
    limit = 'OPENCV_IO_MAX_IMAGE_PIXELS=268435456'
    reason = f'30000 × 30000 pixels, more than are read ({limit}); raise that or cut it into tiles'
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value) == f'{path}: {reason}'
    assert found(path) == [Finding('fatal', f'images that cannot be decoded: 1 (huge.png: {reason})')]


def found(path: Path) -> list[Finding]:
    """What the check says of an image."""
    findings = Findings()
    image = {'id': 1, 'file_name': path.name, 'width': 100, 'height': 100}
    check_images(findings, [image], path.parent, decode=True, resized_to=None)
    return findings.summary()


def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.png')  # which a reader would wait for
    (tmp_path / 'device.png').symlink_to('/dev/zero')  # which has no end
    (tmp_path / 'folder.png').mkdir()
    with (tmp_path / 'large.png').open('wb') as file:
        file.truncate(10**12)  # of which nothing is on the disk
    reasons = {
        'pipe': 'is a pipe or a device, not an image',
        'device': 'is a pipe or a device, not an image',
        'folder': 'is a folder, not an image',
        'large': '1,000,000,000,000 bytes, too large for an image',
    }
    for name, reason in reasons.items():
        path = tmp_path / f'{name}.png'
        with pytest.raises(InputError) as error:
            read_image(path)
        assert str(error.value) == f'{path}: {reason}'
        assert [finding.severity for finding in found(path)] == ['fatal']
        with pytest.raises(InputError, match=str(path)):
            NamingPipeline([lambda data: pytest.fail('it is read')])({'img_path': str(path)})
    with pytest.raises(InputError, match='not an image'):
        find_images(tmp_path / 'pipe.png', exclude=tmp_path / 'out')


def test_large_images_are_decoded_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cv2.imwrite(str(tmp_path / 'a.png'), PIXELS)
    monkeypatch.setattr(image_check, 'LARGE', PIXELS.size // 3 - 1)
    held = []
    decode = image_check.decode_image
    monkeypatch.setattr(
        image_check, 'decode_image', lambda *args: held.append(image_check._one_at_a_time.locked()) or decode(*args)
    )
    found(tmp_path / 'a.png')
    monkeypatch.setattr(image_check, 'LARGE', PIXELS.size // 3)
    found(tmp_path / 'a.png')
    assert held == [True, False]
