"""The one reader of annotation files: which lists must be there, and what ids and optional fields mean."""

import json
from pathlib import Path

import pytest

from mmagg.datasets.coco_file import PARTS, check_codes, is_crowd, read_coco, read_coco_json
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


def test_lengths_of_codes_are_checked_with_their_place() -> None:
    sound = {'segmentation': {'size': [10, 10], 'counts': [9, 91]}}
    check_codes('x.json', [sound, {}, {'segmentation': [[1, 2, 3, 4, 5, 6]]}, {'segmentation': None}])
    with pytest.raises(InputError, match=r'^x\.json: annotation 2: a run-length code of 14 pixels for a mask of 100$'):
        check_codes('x.json', [sound, {}, {'segmentation': {'size': [10, 10], 'counts': [9, 5]}}])
    with pytest.raises(InputError, match=r'x\.json is not COCO format'):
        check_codes('x.json', [{'segmentation': {'counts': [9, 5]}}])
