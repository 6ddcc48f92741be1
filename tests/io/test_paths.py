"""No output gets in the way of an input."""

import os

import pytest

from mmagg.io.errors import InputError
from mmagg.io.paths import keep_apart


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    (folder / 'a.jpg').write_bytes(b'')
    return folder


@pytest.mark.parametrize('output', ['photos', 'photos/../photos', '.', 'link', 'link/', 'photos/a.jpg', 'hard.jpg'])
def test_outputs_that_are_hold_or_lead_to_an_input_are_refused(photos, output, monkeypatch):
    monkeypatch.chdir(photos.parent)
    os.symlink('photos', 'link')
    os.link('photos/a.jpg', 'hard.jpg')
    with pytest.raises(InputError, match='--out') as error:
        keep_apart({'--out': output}, [None, 'https://there/a.pth', photos / 'a.jpg', photos])
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('output', [None, 'photos2', 'photos/drawn', 'out/photos', 'photos/a.jpg.png'])
def test_others_are_not(photos, output, monkeypatch):
    monkeypatch.chdir(photos.parent)
    keep_apart({'--out': output}, [photos, photos / 'a.jpg', 'missing.json'])


def test_a_file_that_is_not_there_yet_counts(tmp_path):
    with pytest.raises(InputError, match='is an input'):
        keep_apart({'--out': tmp_path / 'a.json'}, [tmp_path / 'a.json'])


def test_a_link_into_a_folder(photos):
    link = photos.parent / 'result.json'
    os.symlink(photos / 'a.jpg', link)
    with pytest.raises(InputError, match='leads into'):
        keep_apart({'--out': link}, [photos])


def test_a_link_of_a_file_leads_to_it(photos):
    link = photos.parent / 'result.json'
    os.symlink(photos / 'a.jpg', link)
    with pytest.raises(InputError, match='leads to'):
        keep_apart({'--out': link}, [photos / 'a.jpg'])
