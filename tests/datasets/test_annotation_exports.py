"""Annotation files of exports, and the images that they mean."""

import json
import unicodedata

import pytest
from tool_exports import cvat, label_studio, roboflow, write_annotations

from mmagg.datasets.annotation_exports import annotation_files, find_images, image_folder_of
from mmagg.io.errors import InputError


def found(folder, *names):
    return [file and file.relative_to(folder).as_posix() for file in find_images(names, folder).files]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'images'
    for name in (
        'a.jpg',
        'cat/1.jpg',
        'dog/1.jpg',
        'b c.png',
        'dog/deep/2.jpg',
        'notes.txt',
        '.hidden/3.jpg',
        '._a.jpg',
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    'name, file',
    [
        ('a.jpg', 'a.jpg'),
        ('images/a.jpg', 'a.jpg'),
        ('images\\a.jpg', 'a.jpg'),
        ('images\\1/a.jpg', 'a.jpg'),
        ('..\\..\\label-studio\\media\\upload\\4\\a.jpg', 'a.jpg'),
        ('/srv/photographs/a.jpg', 'a.jpg'),
        ('images/cb0618f6-a.jpg', 'a.jpg'),
        ('data/local-files/b c.png', 'b c.png'),
        ('cat/1.jpg', 'cat/1.jpg'),
        ('C:\\work\\dog\\1.jpg', 'dog/1.jpg'),
        ('2.jpg', 'dog/deep/2.jpg'),
        ('3.jpg', None),
        ('A.jpg', None),
        ('../images.jpg', None),
        ('', None),
    ],
)
def test_a_name_means_a_file(name, file, folder):
    assert found(folder, name) == [file]


def test_what_is_not_listed_is_said(folder):
    images = find_images(['a.jpg', 'cat/1.jpg'], folder)
    assert [path.name for path in images.unlisted] == ['b c.png', '1.jpg', '2.jpg']
    assert find_images(['a.jpg'], folder, without=folder / 'dog').unlisted == [folder / 'b c.png', folder / 'cat/1.jpg']


def test_umlauts_are_written_in_two_ways(tmp_path):
    name = 'Müller.jpg'
    (tmp_path / unicodedata.normalize('NFD', name)).touch()
    assert found(tmp_path, unicodedata.normalize('NFC', name)) != [None]


def test_a_file_that_another_image_names_is_not_taken(folder):
    assert found(folder, 'cat/1.jpg', 'bird/1.jpg') == ['cat/1.jpg', 'dog/1.jpg']
    assert found(folder, 'cat/1.jpg', 'dog/1.jpg', 'bird/1.jpg') == ['cat/1.jpg', 'dog/1.jpg', None]


@pytest.mark.parametrize(
    'names, message',
    [
        (['1.jpg'], 'image 1.jpg: 2 files in .* have its name, as .*cat/1.jpg and .*dog/1.jpg'),
        (['a.jpg', 'images/a.jpg'], 'images a.jpg and images/a.jpg are the same file'),
        (['a.jpg', 'a.jpg'], 'images a.jpg and a.jpg are the same file'),
        (['x/2.jpg', 'y/2.jpg'], 'are the same file'),
    ],
)
def test_what_is_not_unique_is_refused(names, message, folder):
    with pytest.raises(InputError, match=message):
        find_images(names, folder)


def test_parts_of_exports(tmp_path):
    assert annotation_files(cvat(tmp_path / 'c')) == {'': tmp_path / 'c/annotations/instances_default.json'}
    assert annotation_files(label_studio(tmp_path / 'l')) == {'': tmp_path / 'l/result.json'}
    assert annotation_files(tmp_path / 'l/result.json') == {'': tmp_path / 'l/result.json'}
    assert sorted(annotation_files(roboflow(tmp_path / 'r'))) == ['test', 'train', 'val']
    write_annotations(tmp_path / 'coco/annotations/instances_train2017.json', {})
    write_annotations(tmp_path / 'coco/annotations/instances_val2017.json', {})
    assert sorted(annotation_files(tmp_path / 'coco')) == ['train', 'val']
    assert image_folder_of(tmp_path / 'c/annotations/instances_default.json') == tmp_path / 'c/images/default'
    assert image_folder_of(tmp_path / 'l/result.json') == tmp_path / 'l/images'
    assert image_folder_of(tmp_path / 'r/valid/_annotations.coco.json') == tmp_path / 'r/valid'


LABELME = {'version': '5.5.0', 'shapes': [], 'imagePath': 'a.jpg'}
VIA = {'a.jpg123': {'filename': 'a.jpg', 'size': 123, 'regions': []}}


@pytest.mark.parametrize(
    'files, message',
    [
        (None, 'no such file or folder'),
        ({}, 'no annotations'),
        ({'a.json': {'images': []}, 'b.json': {'images': []}}, '2 annotation files .*a.json, b.json.*name one'),
        ({'a.json': LABELME, 'b.json': LABELME}, 'a.json is of labelme, not COCO; mmagg convert-data .* reads it'),
        ({'a.json': VIA, 'b.json': VIA}, 'a.json is of VIA, not COCO; export with Annotation > Export Annotations'),
        ({'a.json': {'_via_img_metadata': {}}, 'b.json': {}}, 'a.json is of VIA'),
    ],
)
def test_other_exports_are_refused(files, message, tmp_path):
    export = tmp_path / 'export'
    if files is not None:
        export.mkdir()
        for name, content in files.items():
            (export / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        annotation_files(export)


def test_an_archive_is_refused(tmp_path):
    (tmp_path / 'export.zip').touch()
    with pytest.raises(InputError, match='an archive; unpack it'):
        annotation_files(tmp_path / 'export.zip')
