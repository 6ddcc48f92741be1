"""The description of an exported model: there and back, and what it is not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmagg import __version__
from mmagg.io.errors import InputError
from mmagg.runtime.description import KEY, Description, described, part_to_json

PATH = Path('model.onnx')
GRID = Description(
    family='grid',
    classes=('fig', 'date'),
    colours=((255, 0, 3), (1, 2, 3)),
    config='solo_r50_fpn_1x_coco.py',
    scale=(1333, 800),
    candidates=300,
    test_cfg={'score_thr': 0.2, 'nms': {'type': 'MaskNMS', 'iou_thr': 0.4}},
)
BOXED = replace(GRID, family='boxed', colours=None, shape=(800, 1216), test_cfg={'mask_thr': 0.4, 'clip_boxes': False})


@pytest.mark.parametrize('one', [GRID, BOXED])
def test_there_and_back(one: Description) -> None:
    assert described({'other': '', KEY: one.to_json()}, PATH) == one
    assert one.version == __version__
    assert json.loads(one.to_json())['format'] == 1


def test_settings_are_those_of_the_post_processor() -> None:
    assert GRID.post_process.score_thr == 0.2
    assert BOXED.post_process.mask_thr == 0.4


def test_the_agreed_form_is_read() -> None:
    """As other writers have it: without what is optional, and with what is not known yet."""
    text = json.dumps(
        {
            'format': 1,
            'version': '0.1.0',
            'family': 'grid',
            'classes': ['fig'],
            'colours': None,
            'config': 'solo.py',
            'resize': {'scale': [1333, 800], 'keep_ratio': True, 'backend': 'cv2'},
            'shape': None,
            'divisor': 32,
            'mask_stride': 4,
            'candidates': 300,
            'test_cfg': {'nms_pre': 300, 'nms': {'type': 'MatrixNMS', 'kernel': 'gaussian', 'sigma': 2.0}},
            'later': 'something',
        }
    )
    assert Description.from_json(text, PATH).scale == (1333, 800)


def test_others_are_refused() -> None:
    with pytest.raises(InputError, match=r'^model.onnx: an ONNX file that mmagg has not written.*mmagg export'):
        described({}, PATH)
    newer = json.dumps({'format': 2, 'version': '7.0'})
    with pytest.raises(InputError, match=r'^model.onnx: written by mmagg 7.0, .* pip install -U mmagg'):
        described({KEY: newer}, PATH)


@pytest.mark.parametrize('text', ['', '{', '[]', '1', '{"format": 1}', '{"format": "x", "version": ""}', '[' * 10**5])
def test_no_json(text: str) -> None:
    with pytest.raises(InputError, match=r'^model.onnx: the description of the model is corrupt'):
        Description.from_json(text, PATH)


@pytest.mark.parametrize(
    'change',
    [
        {'family': 'tree'},
        {'family': []},
        {'classes': []},
        {'classes': [1]},
        {'classes': 3},
        {'resize': {'scale': [0, 800], 'keep_ratio': True}},
        {'resize': {'scale': [800], 'keep_ratio': True}},
        {'resize': {'scale': [800, 800], 'keep_ratio': True, 'backend': 'tifffile'}},
        {'resize': 5},
        {'shape': [1, 2, 3]},
        {'mask_stride': -4},
        {'divisor': 'x'},
        {'divisor': float('inf')},
        {'colours': [[1, 2]]},
        {'mean': [1, 2]},
        {'test_cfg': {'score_thr': 2}},
        {'test_cfg': {'unheard': 2}},
        {'test_cfg': {'nms': {'type': 'SoftNMS'}}},
        {'test_cfg': {'nms': {'type': []}}},
        {'test_cfg': [1]},
        {'test_cfg': None},
    ],
)
def test_values_that_cannot_be_meant(change: dict) -> None:
    text = json.dumps(json.loads(GRID.to_json()) | change)
    with pytest.raises(
        InputError, match=r'^model.onnx: the description of the model is corrupt \(.*\): mmagg export'
    ) as e:
        Description.from_json(text, PATH)
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('name', ['family', 'classes', 'resize', 'test_cfg', 'candidates', 'divisor'])
def test_what_is_missing_is_named(name: str) -> None:
    content = json.loads(GRID.to_json())
    del content[name]
    with pytest.raises(InputError, match=f'the description of the model has no .{name}.: mmagg export'):
        Description.from_json(json.dumps(content), PATH)


def test_a_part_says_that_it_predicts_nothing() -> None:
    with pytest.raises(InputError, match='the backbone and neck alone, which predict nothing'):
        Description.from_json(part_to_json('neck'), Path('a.onnx'))
