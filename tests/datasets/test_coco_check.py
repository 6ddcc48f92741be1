"""The check before training: every defect is found, named, and as severe as it is."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as coco_mask
import pytest

from mmagg.datasets.coco_check import Finding, check_coco, report

HEIGHT, WIDTH = 20, 30


def _content() -> dict:
    square = [2, 3, 12, 3, 12, 13, 2, 13]
    return {
        'images': [{'id': i, 'file_name': f'{i}.png', 'width': WIDTH, 'height': HEIGHT} for i in (1, 2)],
        'annotations': [
            {
                'id': i,
                'image_id': (i + 1) // 2,
                'category_id': 1 + i % 2,
                'bbox': [2, 3, 10, 10],
                'area': 100,
                'iscrowd': 0,
                'segmentation': [square],
            }
            for i in (1, 2, 3, 4)
        ],
        'categories': [{'id': 1, 'name': 'fig'}, {'id': 2, 'name': 'date'}],
    }


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('1.png', '2.png'):
        cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return folder


def _check(content: object, images: Path, **options: bool) -> list[Finding]:
    ann_file = images.parent / 'ann.json'
    ann_file.write_text(content if isinstance(content, str) else json.dumps(content))
    return check_coco(ann_file, images, **options)


def _ann(**fields: object) -> Callable[[dict], None]:
    """A change of the first annotation; None removes a field."""

    def change(content: dict) -> None:
        ann = content['annotations'][0]
        ann.update(fields)
        for key in [key for key, value in fields.items() if value is None]:
            del ann[key]

    return change


def _code(counts: object, size: object = (HEIGHT, WIDTH)) -> dict:
    return {'size': list(size), 'counts': counts}


def _rle(counts: object, size: object = (HEIGHT, WIDTH)) -> Callable[[dict], None]:
    return _ann(segmentation=_code(counts, size))


def _polygons(*polygons: object) -> Callable[[dict], None]:
    return _ann(segmentation=list(polygons))


TRIANGLE = [1, 1, 9, 1, 9, 9]


def test_flawless_data_has_no_findings(images):
    assert _check(_content(), images) == []
    assert report([]) == 'no defects found'


@pytest.mark.parametrize(
    'change',
    [
        _ann(segmentation=[TRIANGLE, [12, 12, 19, 12, 19, 19]], bbox=[1, 1, 18, 18]),
        _ann(segmentation=_code([10, 5, HEIGHT * WIDTH - 15]), bbox=[0, 10, 1, 5]),
        _ann(
            segmentation=_code(coco_mask.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8, order='F'))['counts'].decode()),
            bbox=[0, 0, 20, 20],
        ),
        _ann(segmentation=[[0, 0, 30, 0, 30, 20, 0, 20]], bbox=[-0.5, 0, 30.9, 20.5]),  # rounding
        _ann(segmentation=[[0, 0, 30, 0, 30, 20]], bbox=[0, 0, 30, 20], iscrowd=1),
    ],
)
def test_sound_annotations_pass(images, change):
    content = _content()
    change(content)
    assert _check(content, images) == []


@pytest.mark.parametrize(
    'change, severity, message',
    [
        (_ann(segmentation=None), 'fatal', 'annotations without a mask'),
        (_ann(segmentation=[]), 'fatal', 'annotations without a mask'),
        (_ann(segmentation='mask'), 'fatal', 'neither polygons nor RLE'),
        (_polygons([1, 2, 3, 4]), 'fatal', 'masks without a polygon'),
        (_polygons([1, 2, 3, 4, 5, 6, 7]), 'fatal', 'masks without a polygon'),
        (_polygons([]), 'fatal', 'masks without a polygon'),
        (_polygons([1, 2], TRIANGLE), 'fatal', 'first polygon'),
        (_polygons(TRIANGLE, [1, 2, 3]), 'warning', 'polygon that training skips'),
        (_polygons(1, 2, 3, 4, 5, 6), 'fatal', 'not lists of numbers'),
        (_polygons([1, 1, 9, 1, 9, None]), 'fatal', 'not lists of numbers'),
        (_polygons([1, 1, float('nan'), 1, 9, 9]), 'fatal', 'not lists of numbers'),
        (_polygons([1, 1, 1e12, 1, 9, 9]), 'fatal', 'far outside'),
        (_polygons([100, 100, 120, 100, 120, 120]), 'warning', 'cover no pixel'),
        (_rle([600], (WIDTH, HEIGHT)), 'fatal', 'size is not'),
        (_rle([600]), 'warning', 'cover no pixel'),
        (_rle([100, 100]), 'fatal', 'do not add up'),
        (_rle([100, 2000]), 'fatal', 'do not add up'),
        (_rle([700, -100]), 'fatal', 'cannot be decoded'),
        (_rle(None), 'fatal', 'cannot be decoded'),
        (_rle('1'), 'fatal', 'do not add up'),
        (_rle('\N{SNOWMAN}'), 'fatal', 'cannot be decoded'),
        (_rle('~'), 'fatal', 'cannot be decoded'),
        (_ann(bbox=[1, 2, 3]), 'fatal', 'not four numbers'),
        (_ann(bbox=[1, 2, 3, 'x']), 'fatal', 'not four numbers'),
        (_ann(bbox=[40, 3, 10, 10]), 'warning', 'boxes outside'),
        (_ann(bbox=[25, 3, 10, 10]), 'warning', 'beyond the image'),
        (_ann(bbox=[2, 3, 0, 10]), 'warning', 'smaller than a pixel'),
        (_ann(area=0), 'warning', 'without area'),
        (_ann(area=None), 'fatal', 'without a usable "area"'),
        (_ann(iscrowd=None), 'fatal', 'without a usable "iscrowd"'),
        (_ann(id=2), 'fatal', 'annotation ids used twice: 1 (2)'),
        (_ann(image_id=9), 'fatal', 'images that are not listed: 1 (1 of image 9)'),
        (_ann(category_id=9), 'fatal', 'categories that are not listed: 1 (1 of category 9)'),
        (lambda c: c['images'][1].update(id=1), 'fatal', 'image ids used twice: 1 (1)'),
        (lambda c: c['images'][1].pop('width'), 'fatal', 'images without a usable "width": 1 (id 2)'),
        (lambda c: c['images'][1].update(width=0), 'fatal', 'not positive'),
        (lambda c: c['images'].append(7), 'fatal', 'not dicts: 1 (number 2)'),
        (lambda c: c['images'][1].update(width=31), 'fatal', '2.png is 30×20, not 31×20'),
        (lambda c: c['images'][1].update(file_name='3.png'), 'fatal', 'missing or unreadable'),
        (lambda c: c['categories'][1].update(id=1), 'fatal', 'category ids used twice'),
        (lambda c: c['categories'][1].update(name='fig'), 'fatal', 'category names used twice: 1 (fig)'),
        (lambda c: c['categories'].append({'id': 3, 'name': 'nut'}), 'warning', 'an annotation: 1 (nut)'),
        (lambda c: c['categories'][1].update(name='Fig'), 'warning', "1 ('fig' of 2 objects and 'Fig' of 2 objects)"),
        (lambda c: c['categories'][1].update(name='a\nb'), 'warning', 'have a line break (rename them'),
        (lambda c: c['categories'].reverse(), 'warning', 'out of order'),
        (lambda c: c.update(annotations=c['annotations'][:2]), 'warning', 'an annotation: 1 (2.png)'),
    ],
)  # fmt: skip
def test_defect_is_found(images, change, severity, message):
    content = _content()
    change(content)
    findings = _check(content, images)
    assert [f.severity for f in findings if message in f.message] == [severity], report(findings)
    assert all('\n' not in f.message for f in findings)


def test_annotation_0_is_said_where_a_metric_never_finds_it(images):
    content = _content()
    content['annotations'][0]['id'] = 0
    assert _check(content, images) == []
    (finding,) = _check(content, images, finds_zero=False)
    assert finding.severity == 'warning'
    assert finding.message.startswith("annotation ids that are 0, which mmdet's CocoMetric never counts as found")
    assert 'number them from 1' in finding.message


def test_gaps_in_category_ids_are_harmless(images):
    content = _content()
    content['categories'][1]['id'] = 7
    for ann in content['annotations']:
        ann['category_id'] = {1: 1, 2: 7}[ann['category_id']]
    (finding,) = _check(content, images)
    assert finding == Finding('warning', 'gaps in the category ids (harmless: labels are counted anew): 1 (1 to 7)')


@pytest.mark.parametrize(
    'content, message',
    [
        ('{', 'is not JSON'),
        ('[]', 'is not COCO format'),
        ('{"images": []}', 'has no images'),
        ('{"images": [{}], "categories": [{}]}', 'no list "annotations"'),
        ('{"images": [{}], "annotations": [{}], "categories": {}}', 'no list "categories"'),
    ],
)
def test_file_that_is_not_coco(images, content, message):
    (finding,) = _check(content, images)
    assert finding.severity == 'fatal'
    assert message in finding.message
    assert 'ann.json' in finding.message


def test_missing_file_and_folder(images):
    (finding,) = check_coco(images / 'none.json', images)
    assert finding.severity == 'fatal'
    assert 'none.json' in finding.message
    _check(_content(), images)
    (finding,) = check_coco(images.parent / 'ann.json', images / 'none')
    assert finding.severity == 'fatal'
    assert 'none' in finding.message


@pytest.mark.parametrize('data', [b'', b'not an image', None], ids=['empty', 'text', 'truncated'])
def test_broken_images(images, data):
    image = images / '2.png'
    image.write_bytes(image.read_bytes()[:60] if data is None else data)
    (finding,) = _check(_content(), images)
    assert finding == Finding('fatal', 'images that cannot be decoded: 1 (2.png)')
    assert _check(_content(), images, decode_images=False) == []


def test_examples_are_of_several_images(images):
    content = _content()
    for ann in content['annotations']:
        del ann['segmentation']
    (finding,) = _check(content, images)
    assert finding.message.endswith(': 4 (annotation 1 of 1.png, annotation 3 of 2.png, annotation 2 of 1.png, …)')


def test_many_are_counted_and_three_are_named(images):
    content = _content()
    content['images'] += [
        {'id': i, 'file_name': f'lost{i}.png', 'width': WIDTH, 'height': HEIGHT} for i in range(10, 22)
    ]
    for decode in (True, False):
        fatal, warning = _check(content, images, decode_images=decode)
        assert fatal.severity == 'fatal'
        assert fatal.message.endswith(': 12 (lost10.png, lost11.png, lost12.png, …)')
        assert warning.severity == 'warning'
        assert report([fatal, warning]).splitlines()[0] == f'fatal: {fatal.message}'


@pytest.mark.parametrize('name', ['nuts_18', 'coco_open_125'])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_real_sets_have_nothing_fatal(shared, name, split):
    folder = shared / 'data' / name
    findings = check_coco(folder / 'annotations' / f'instances_{split}.json', folder / 'images' / split)
    assert [f for f in findings if f.severity == 'fatal'] == []


@pytest.mark.parametrize(
    'change',
    [
        _ann(segmentation=None),
        _rle([600], (15, 30)),
        _polygons([1, 1, 9, 1, 9, 'x']),
        _ann(id=2),
        _ann(area=None),
        lambda c: c['images'][0].update(file_name='3.png'),
        lambda c: c['images'][0].pop('width'),
    ],
)
def test_fatal_is_what_mmdet_cannot_load(images, change):
    """Oracle: the data set and transforms of mmdet raise on these, and load the sound file."""
    pytest.importorskip('mmdet')
    from mmdet.datasets import CocoDataset

    pipeline = [
        {'type': 'LoadImageFromFile'},
        {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    ]

    def load() -> list:
        dataset = CocoDataset(
            ann_file=str(images.parent / 'ann.json'),
            data_prefix={'img': str(images)},
            metainfo={'classes': ('fig', 'date')},
            pipeline=[{**step, '_scope_': 'mmdet'} for step in pipeline],
            test_mode=True,
        )
        return dataset[0]['gt_masks']

    assert _check(_content(), images) == []
    assert len(load()) == 2
    content = _content()
    change(content)
    assert 'fatal' in report(_check(content, images))
    with pytest.raises((KeyError, ValueError, AssertionError, FileNotFoundError)):
        load()
