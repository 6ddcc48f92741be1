"""Images are found, read and written, whatever their names and formats."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmagg.io.errors import InputError
from mmagg.io.images import find_images, read_image, write_image

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


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'a\xff.png')
    try:
        path.touch()
    except OSError:
        pytest.skip('this file system has names in UTF-8 alone')
    assert write_image(PIXELS, path) == path
    assert (read_image(path) == PIXELS).all()


@pytest.mark.parametrize('name, written', [('a.bmp', 'a.bmp.png'), ('a.JPG', 'a.JPG'), (f'{"a" * 250}.png', None)])
def test_names_of_pictures(tmp_path: Path, name: str, written: str | None) -> None:
    assert write_image(PIXELS, tmp_path / name).name == (written or name)
    assert os.listdir(tmp_path) == [written or name]


def test_a_link_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'original.png'), PIXELS)
    (tmp_path / 'link.png').symlink_to(tmp_path / 'original.png')
    write_image(0 * PIXELS, tmp_path / 'link.png')
    assert (read_image(tmp_path / 'original.png') == PIXELS).all()
    assert not (tmp_path / 'link.png').is_symlink()
