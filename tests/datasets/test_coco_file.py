"""The one reader of annotation files: which lists must be there, and what ids and optional fields mean."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mmagg.datasets.coco_file import PARTS, CocoFile, check_annotations, in_order, is_crowd, read_coco, read_coco_json
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


def test_images_without_annotations(tmp_path: Path) -> None:
    path = written({'images': [], 'categories': []}, tmp_path)
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


TASK = {'id': 1, 'annotations': [{'result': []}], 'data': {'image': 'a.jpg'}}
SHORT_TASK = {'id': 1, 'image': 'a.jpg', 'label': [], 'annotator': 1}


@pytest.mark.parametrize(
    'content, message',
    [
        ('', 'file.json is empty, so it is not COCO format; export the annotations again'),
        ([TASK], 'file.json is of Label Studio, not COCO; export as COCO'),
        ([SHORT_TASK], 'file.json is of Label Studio, not COCO; export as COCO'),
    ],
)
def test_what_to_do_about_files_that_are_no_coco(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(written(content, tmp_path))


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
        (
            of(7, {'counts': [9, 5]}),
            'annotation 1: the size of its run-length code is None, that of the image [10, 10]',
        ),
        (of(7, {**SQUARE, 'size': [10.0, 10]}), 'annotation 1: the size of its run-length code is [10.0, 10], that of'),
        (
            of(99, {**SQUARE, 'size': [1e9, 9]}),
            'annotation 1: the size of its run-length code is [1000000000.0, 9], not',
        ),
        (of(7, {**SQUARE, 'counts': [9, float('inf')]}), 'annotation 1: its run-length code is cut off or broken'),
        (of(7, [[1, 2, 3, float('nan'), 5, 6]]), 'annotation 1: polygons that are not lists of numbers'),
        (of(7, [[1, 2, 3, 10**400, 5, 6]]), 'annotation 1: polygons that are not lists of numbers'),
        (of(7, [[1, 2, 3, None, 5, 6]]), 'annotation 1: polygons that are not lists of numbers'),
        (of(7, [[1, 2, 3, 2e6, 5, 6]]), 'annotation 1: polygons far outside the image'),
        (of(7, [[-9e5, 0, 9e5, 9] * 3]), 'annotation 1: polygons whose outline is longer than 4,000,000 pixels'),
        (of(7, 'x'), 'annotation 1: masks that are neither polygons nor RLE'),
        (of(7, SQUARE, bbox=[1, 2, 3, '4']), 'annotation 1: boxes that are not four numbers (x, y, width, height)'),
        (of(7, SQUARE, area=10**400), 'annotation 1: annotations whose "area" is not a finite number'),
        (of(7, SQUARE, iscrowd='x'), 'annotation 1: its "iscrowd" is \'x\', not 0 or 1'),
        (of('7', SQUARE), "annotation 1: its image_id is '7', but that image is listed as 7"),
        (of(7, SQUARE, category_id='3'), "annotation 1: its category_id is '3', but that category is listed as 3"),
    ],
)
def test_annotations_are_refused_with_their_place(annotation: dict, message: str) -> None:
    with pytest.raises(InputError, match=f'^x.json: {re.escape(message)}'):
        check_annotations(annotated(of(7, SQUARE), annotation))


@pytest.mark.parametrize('size', [(10, 2**31), (2**31, 1), (10**12, 65), (10, 2**64), (0, 10), (10, 6.5), (None, 10)])
def test_sizes_of_images_are_refused_with_their_place(size: tuple) -> None:
    sound = annotated()
    images = [sound.images[0], {'id': 8, 'height': size[0], 'width': size[1]}]
    with pytest.raises(InputError, match=r'^x\.json: image 1: its size, .*, is '):
        check_annotations(replace(sound, images=images))


def test_sizes_may_be_written_as_floats(tmp_path: Path) -> None:
    path = written({'images': [{'id': 1, 'height': 10.0, 'width': 20}], 'categories': []}, tmp_path)
    (image,) = read_coco(path).images
    assert (image['height'], type(image['height'])) == (10, int)


def test_nesting_beyond_what_can_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'file\.json is not JSON, .* nested too deeply'):
        read_coco(written('[' * 100_000, tmp_path))


def test_numbers_ascend_and_texts_stay_in_order() -> None:
    assert in_order([2**64, -1, 3.0, 2]) == (-1, 2, 3, 2**64)
    assert in_order(['b10', 'b2', 'a', 'b2']) == ('b10', 'b2', 'a')


def test_files_that_are_not_coco_format_are_refused() -> None:
    sound = annotated()
    for file, message in (
        (replace(sound, images=[{'id': 7}]), 'image 0 has no "height"'),
        (replace(sound, categories=[None]), 'category 0 is None, not a dict'),
        (replace(sound, annotations=[{}]), 'annotation 0 has no "image_id"'),
        (replace(sound, images=[{'id': 7}, {'id': '7'}]), 'text and numbers are mixed in the ids of its images'),
        (replace(sound, images=[{'id': True}]), 'image 0: its id is True, neither text nor a whole number'),
        (replace(sound, categories=[{'id': 1.5}]), 'category 0: its id is 1.5, neither text nor a whole number'),
        (annotated(of([7], SQUARE)), r'annotation 0: its image_id is \[7\], neither text nor a whole number'),
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
