"""Boxes and masks as a whole: what is left to learn from, and whether boxes and masks are of the same object."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmagg.datasets.coco_check import Finding, check_coco

HEIGHT, WIDTH = 100, 200
BOX = [20, 10, 40, 30]


def mask(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., list[Finding]]:
    """Checks 10 annotations, some of them changed: findings on annotations and images, not on files."""

    def check(*changes: dict, training: bool = True, **options: bool) -> list[Finding]:
        sound = {'image_id': 1, 'category_id': 1, 'bbox': BOX, 'area': 2000, 'iscrowd': 0, 'segmentation': mask(*BOX)}
        annotations = [{'id': i, **sound, **(changes[i] if i < len(changes) else {})} for i in range(1, 11)]
        path = tmp_path / 'ann.json'
        content = {
            'images': [{'id': 1, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'fig'}],
        }
        path.write_text(json.dumps(content))
        found = check_coco(path, tmp_path, training=training, decode_images=False, **options)
        return [finding for finding in found if 'missing image files' not in finding.message]

    return lambda *changes, **options: check({}, *changes, **options)


def test_sound_annotations_have_no_findings(check) -> None:
    assert check() == check(training=False) == []


def test_crowds_alone_teach_nothing(check) -> None:
    all_crowd = 'no annotation is left to learn from: 10 crowd (iscrowd=1; set it to 0 for single objects)'
    assert check(*[{'iscrowd': 1}] * 10) == [Finding('fatal', all_crowd)]
    (most,) = check(*[{'iscrowd': 1}] * 6)
    few = 'nothing is learnt from 6 of 10 annotations: 6 crowd (iscrowd=1; set it to 0 for single objects)'
    assert most == Finding('warning', few)
    assert check(*[{'iscrowd': 1}] * 3, *[{'ignore': 1}] * 3) == [
        Finding('warning', few.replace('6 crowd', '3 crowd') + ', 3 marked "ignore"')
    ]
    assert check(*[{'iscrowd': 1}] * 4) == []
    (finding,) = check(*[{'iscrowd': 1}] * 10, training=False)
    assert finding == Finding('warning', 'all 10 annotations are crowds (iscrowd=1): nothing to find, so no AP')


def test_objects_lost_for_several_reasons_are_counted(check) -> None:
    far = [300, 300, 20, 20]
    changes = [{'iscrowd': 1}, {'area': 0}, {'area': 0}, {'bbox': [1, 1, 0, 9]}, {'ignore': 1}]
    nothing = [{'segmentation': mask(*far)}] * 4
    fatal, *warnings = check(*changes, *nothing, {'bbox': far})
    assert fatal.message == (
        'no annotation is left to learn from: 1 crowd (iscrowd=1; set it to 0 for single objects), 1 marked "ignore", '
        '2 of area 0 (write the area in pixels), 2 with a box smaller than a pixel or outside the image, '
        '4 with a mask that covers no pixel'
    )
    assert {finding.severity for finding in warnings} == {'warning'}
    assert {finding.severity for finding in check(*changes, *nothing)} == {'warning'}  # one can be learnt from


def test_coordinates_in_fractions_are_recognised(check) -> None:
    unit = [0.1, 0.3, 0.2, 0.5]
    (fatal,) = check(*[{'bbox': unit}] * 10)
    assert fatal.severity == 'fatal'
    assert fatal.message.startswith('boxes in fractions of the image, 0 to 1, instead of pixels (multiply x by ')
    fatal, *_ = check(*[{'segmentation': mask(*unit)}] * 10)
    assert fatal.message.startswith('polygons in fractions of the image')
    assert [f.severity for f in check(*[{'bbox': unit, 'segmentation': mask(*unit)}] * 10)][:2] == ['fatal'] * 2
    part = check({'bbox': unit}, {'segmentation': mask(*unit)})
    assert {finding.severity for finding in part} == {'warning'}
    assert sum('fractions of the image, not pixels?' in finding.message for finding in part) == 2
    assert check({'bbox': [0, 0, 1, 1], 'segmentation': mask(0, 0, 1, 1)}) == []  # one pixel, in a corner
    fatal, *_ = check(*[{'bbox': unit}] * 10, training=False)
    assert fatal.severity == 'fatal'


def test_boxes_are_compared_with_their_masks(check) -> None:
    x, y, w, h = BOX
    corners = [x, y, x + w, y + h]
    (finding,) = check({'bbox': corners}, {'bbox': corners})
    assert finding.severity == 'warning'
    assert finding.message.startswith(
        'boxes that read as x1, y1, x2, y2 by their masks; they must be x, y, width, height: 2'
    )
    (finding,) = check({'bbox': [0, 0, 12, 12]}, training=False)
    assert finding == Finding('warning', 'boxes that do not fit their masks: 1 (annotation 1 of a.png)')
    close = {'bbox': [18.6, 11, 41, 28]}
    assert check(close, {'bbox': [0, 0, 12, 12], 'iscrowd': 1}) == []
    assert check({'bbox': [0, 0, 12, 12]}, masks=False) == []


def test_masks_may_be_missing_where_none_are_needed(check) -> None:
    (finding,) = check({'segmentation': []})
    assert finding == Finding(
        'fatal',
        'annotations without a mask (these are boxes: draw outlines, remove them, or learn from boxes with '
        'configs/boxinst): 1 (annotation 1 of a.png)',
    )
    assert finding.everything  # mmdet does not train with it, whatever is skipped
    (finding,) = check(*[{'segmentation': []}] * 10, {'segmentation': []})
    assert finding.message.endswith('10 (annotation 1 of a.png, annotation 2 of a.png, annotation 3 of a.png, …)')
    assert check({'segmentation': []}, {'segmentation': [[1, 'x']]}, masks=False) == []


@pytest.mark.parametrize(
    'change, message',
    [
        ({'area': float('nan')}, '"area" is not a finite number'),
        ({'bbox': [1, 2, float('inf'), 3]}, 'not four numbers'),
        ({'segmentation': [[-9e5, 0, 9e5, 9] * 3]}, 'polygons whose outline is longer than 4,000,000 pixels'),
        ({'segmentation': {'size': [100.0, 200.0], 'counts': [20000]}}, 'size is not [height, width]'),
        ({'id': True}, 'annotations without a usable "id"'),
        ({'image_id': 1.5}, 'annotations without a usable "image_id"'),
    ],
)
def test_what_cannot_be_read_is_fatal(check, change: dict, message: str) -> None:
    findings = [finding for finding in check(change) if message in finding.message]
    assert [finding.severity for finding in findings] == ['fatal']


def test_odd_flags_of_crowds(check) -> None:
    (finding,) = check({'iscrowd': 2})
    assert finding.severity == 'warning'
    assert 'neither 0 nor 1 (counted as crowds): 1 (annotation 1 of a.png)' in finding.message
