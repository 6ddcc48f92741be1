"""No output gets in the way of an input."""

import os
from pathlib import Path

import pytest

from mmagg.io.errors import InputError
from mmagg.io.paths import fitting, keep_apart


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


@pytest.mark.parametrize('letter', ['a', 'é', '\U0001f600', os.fsdecode(b'\xff')])
def test_names_that_are_too_long_are_cut(letter, tmp_path):
    longest = letter * (251 // len(os.fsencode(letter)))
    assert fitting(f'{longest}.png') == f'{longest}.png'
    long = [fitting(f'{longest}{i}{letter}.png') for i in range(2)]
    assert len(set(long)) == 2
    for name in long:
        assert name.endswith('.png')
        assert name.startswith(letter * 50)
        assert 250 < len(os.fsencode(name)) <= 255
    assert fitting('a' * 300 + '.' + 'b' * 300) != fitting('a' * 300 + '.' + 'b' * 301)
    Path(tmp_path, fitting('a.' + 'b' * 300)).touch()
