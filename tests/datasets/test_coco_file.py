"""The one reader of annotation files: which lists must be there, and what ids and optional fields mean."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mmagg.datasets.coco_file import PARTS, CocoFile, check_annotations, is_crowd, read_coco, read_coco_json
from mmagg.io.errors import InputError

CONTENT = {
    'images': [{'id': 'b'}, {'id': 'a'}],
    'annotations': [{'image_id': image_id, 'n': n} for n, image_id in enumerate('acaab')],
    'categories': [{'id': 3, 'name': 'pear'}],
}


def written(content: object, tmp_path: Path) -> Path:
    path = tmp_path / 'file.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_order_is_that_of_the_file(tmp_path: Path) -> None:
    found = read_coco(written(CONTENT, tmp_path))
    assert [getattr(found, part) for part in PARTS] == list(CONTENT.values())
    assert list(found.image_by_id) == ['b', 'a']
    assert found.category_by_id == {3: {'id': 3, 'name': 'pear'}}
    of_image = found.annotations_by_image
    assert {key: [ann['n'] for ann in mine] for key, mine in of_image.items()} == {'a': [0, 2, 3], 'c': [1], 'b': [4]}


@pytest.mark.parametrize('annotations', [{}, {'annotations': None}])
def test_images_without_annotations(annotations: dict, tmp_path: Path) -> None:
    path = written({'images': [], 'categories': [], **annotations}, tmp_path)
    assert read_coco(path).annotations == []
    with pytest.raises(InputError, match='no list "annotations"'):
        read_coco(path, needed=PARTS)
    with pytest.raises(InputError, match='has no images: its list "images" is empty'):
        read_coco(path, filled=('images',))


@pytest.mark.parametrize('text', ['', '[', '[]', '{}', '{"images": {}, "categories": []}'])
def test_other_files(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'file\.json.* is not COCO format'):
        read_coco(written(text, tmp_path))
    with pytest.raises(FileNotFoundError):
        read_coco_json(tmp_path / 'none.json')


def test_crowds() -> None:
    for value, crowd in ((0, 0), (1, 1), (2, 1), (False, 0), (True, 1), (None, 0), ('0', 0), ('1', 1)):
        assert is_crowd({'iscrowd': value}) == crowd
    assert is_crowd({}) == 0


SQUARE = {'size': [10, 10], 'counts': [9, 91]}


def annotated(*annotations: dict) -> CocoFile:
    images = [{'id': 7, 'height': 10, 'width': 10}, {'id': 8, 'height': 10, 'width': 20}]
    return CocoFile(Path('x.json'), images, list(annotations), [{'id': 3, 'name': 'pear'}])


def of(image_id: object, segmentation: object, **more: object) -> dict:
    return {'image_id': image_id, 'category_id': 3, 'segmentation': segmentation, **more}


def test_sound_annotations_and_those_that_do_not_count_pass_the_check() -> None:
    wide = {'size': [10, 20], 'counts': [200]}
    check_annotations(annotated(of(7, SQUARE), of(8, wide), of(7, [[1, 2, 3, 4, 5, 6]]), of(7, None), of(99, wide)))
    check_annotations(CocoFile(Path('x.json'), [], [of(7, SQUARE)], []))


@pytest.mark.parametrize(
    'annotation, message',
    [
        (of(7, {**SQUARE, 'counts': [9, 5]}), 'annotation 1: its run-length code is of 14 pixels, not 100'),
        (of(99, {**SQUARE, 'counts': [9, -5]}), 'annotation 1: its run-length code is cut off or broken'),
        (of(8, SQUARE), 'annotation 1: the size of its run-length code is [10, 10], that of the image [10, 20]'),
        (of('7', SQUARE), "annotation 1: its image_id is '7', but that image is listed as 7"),
        (of(7, SQUARE, category_id='3'), "annotation 1: its category_id is '3', but that category is listed as 3"),
    ],
)
def test_annotations_are_refused_with_their_place(annotation: dict, message: str) -> None:
    with pytest.raises(InputError, match=f'^x.json: {re.escape(message)}$'):
        check_annotations(annotated(of(7, SQUARE), annotation))


def test_files_that_are_not_coco_format_are_refused() -> None:
    sound = annotated()
    for file, message in (
        (annotated(of(7, {'counts': [9, 5]})), "KeyError: 'size'"),
        (replace(sound, images=[{'id': 7}, {'id': '7'}]), 'TypeError'),
        (replace(sound, images=sound.images * 2), 'an id occurs twice in its list of images'),
        (replace(sound, categories=sound.categories * 2), 'an id occurs twice in its list of categories'),
    ):
        with pytest.raises(InputError, match=rf'^x\.json is not COCO format.*{message}'):
            check_annotations(file)


def test_labels_count_the_named_categories_in_the_order_of_the_file() -> None:
    categories = [{'id': i, 'name': name} for i, name in ((5, 'fig'), (2, 'pear'), (9, 'plum'))]
    content = CocoFile(Path('x.json'), [], [], categories)
    assert content.category_ids() == [5, 2, 9]
    assert content.category_ids(('plum', 'fig')) == [5, 9]
