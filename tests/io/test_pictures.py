"""Pictures lie as their images do, below one folder, each in a file of its own, and never on an image."""

import os
from pathlib import Path

import pytest

from mmagg.io.errors import InputError
from mmagg.io.pictures import beside_pictures, picture_paths, places


@pytest.mark.parametrize(
    'images, root, expected',
    [
        (['val/a.png', 'val/deep/a.png'], 'val', ['a.png', 'deep/a.png']),
        (['val/./a.png', 'other/../val/b.png'], 'val/', ['a.png', 'b.png']),
        (['val/../pool/a.png', 'val/../pool/b.png'], 'val', ['a.png', 'b.png']),
        (['val/../pool/a.png', 'val/a.png'], 'val', ['pool/a.png', 'val/a.png']),
        (['/data/one/a.png', '/data/two/a.png'], 'val', ['one/a.png', 'two/a.png']),
        (['one/a.png', 'two/a.png'], None, ['one/a.png', 'two/a.png']),
        ([], None, []),
    ],
)
def test_images_keep_their_places(images, root, expected) -> None:
    assert [place.as_posix() for place in places(images, root).values()] == expected
    assert list(places(images, root)) == images


def test_no_two_images_share_a_picture() -> None:
    images = ['a.png', 'a.png.png', 'a.bmp', 'a.bmp.png', 'a.BMP', 'a.tif', 'a.jpg', 'a.JPEG']
    pictures = picture_paths(images, Path('out'), flag='--show-dir')
    assert len(set(pictures.values())) == len(images)
    assert pictures['a.bmp.png'] == Path('out/a.bmp.png')
    assert pictures['a.bmp'] == Path('out/a.bmp.png.png')
    assert all(picture.parent == Path('out') for picture in pictures.values())


def test_no_two_images_share_another_file() -> None:
    images = ['a.png', 'a.bmp', 'a.png.jpg', 'deep/a.png', 'a.tif', 'b.c.png']
    files = beside_pictures(images, Path('out'), suffix='.txt')
    assert {image: file.relative_to('out').as_posix() for image, file in files.items()} == {
        'a.png': 'a.txt',
        'a.bmp': 'a.bmp.txt',
        'a.png.jpg': 'a.png.txt',
        'deep/a.png': 'deep/a.txt',
        'a.tif': 'a.tif.txt',
        'b.c.png': 'b.c.txt',
    }
    assert len({*beside_pictures(['a.png', 'a.txt', 'a.txt.png', 'a'], Path('out'), suffix='.txt').values()}) == 4


def test_pictures_of_long_names(tmp_path: Path) -> None:
    images = [f'{"x" * 251}.{kind}' for kind in ('bmp', 'png', 'BMP')]
    pictures = picture_paths(images, tmp_path, flag='--show-dir')
    assert len(set(pictures.values())) == 3
    for picture in pictures.values():
        picture.touch()


def test_folders_with_images_are_refused(tmp_path: Path) -> None:
    store, folder, deep = tmp_path / 'store', tmp_path / 'data/val', tmp_path / 'data/val/deep'
    store.mkdir()
    deep.mkdir(parents=True)
    (store / 'a.png').touch()
    (deep / 'a.png').symlink_to(store / 'a.png')
    for out in (deep, folder, tmp_path / 'data', store, folder / '..' / 'val'):
        with pytest.raises(InputError, match='--show-dir'):
            picture_paths([deep / 'a.png'], out, root=folder, flag='--show-dir')
    picture_paths([deep / 'a.png'], folder / 'pictures', root=folder, flag='--show-dir')


def test_a_link_in_the_folder_leads_to_no_image(tmp_path: Path) -> None:
    deep, out = tmp_path / 'val/deep', tmp_path / 'out'
    deep.mkdir(parents=True)
    out.mkdir()
    os.symlink(deep, out / 'deep')
    with pytest.raises(InputError, match='leads to'):
        picture_paths([deep / 'a.png'], out, root=tmp_path / 'val', flag='--show-dir')
