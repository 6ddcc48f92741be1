"""What of a config goes into an exported file, and what cannot: before the graph is traced."""

from types import SimpleNamespace

import pytest
from grid_heads import mmagg_head
from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from mmagg.apis.exporting import describe, resize_of
from mmagg.io.errors import InputError

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')


def config(*steps: dict) -> Config:
    return Config(dict(test_dataloader=dict(dataset=dict(pipeline=[LOAD, *steps, PACK]))))


def resize(**options: object) -> dict:
    return dict(type='Resize', scale=(96, 64), keep_ratio=True) | options


@pytest.mark.parametrize(
    ('step', 'result'),
    [
        (resize(), ((96, 64), True, 'cv2')),
        (dict(type='Resize', scale=80), ((80, 80), False, 'cv2')),
        (resize(interpolation='bilinear', backend='pillow'), ((96, 64), True, 'pillow')),
    ],
)
def test_the_size_is_that_of_the_test_pipeline(step: dict, result: tuple) -> None:
    assert tuple(resize_of(config(step)).values()) == result


@pytest.mark.parametrize(
    ('steps', 'said'),
    [
        ([], 'no Resize to a scale'),
        ([resize(scale_factor=0.5)], 'has Resize'),
        ([resize(), resize()], 'has Resize'),
        ([resize(), dict(type='Pad', size_divisor=32)], 'has Pad: an exported model prepares images by one Resize'),
        ([resize(interpolation='bicubic')], 'Resize is by cv2, bicubic: an exported model resizes bilinearly'),
        ([resize(backend='tifffile')], 'by tifffile, bilinear: an exported model resizes bilinearly by cv2 or pillow'),
    ],
)
def test_images_that_would_be_prepared_in_another_way_are_refused(steps: list[dict], said: str) -> None:
    with pytest.raises(InputError, match=said):
        resize_of(config(*steps))


def test_an_nms_that_the_runtime_does_not_have_is_refused() -> None:
    class OwnNMS:
        def __call__(self, iou, scores, labels):
            return scores

    TASK_UTILS.register_module(module=OwnNMS)
    try:
        head = mmagg_head('solo', test_cfg=dict(nms=dict(type='OwnNMS')))
    finally:
        TASK_UTILS.module_dict.pop('OwnNMS')
    model = SimpleNamespace(mask_head=head, cfg=config(resize()), dataset_meta=dict(classes=['fig']))
    with pytest.raises(InputError, match='nms is of the type OwnNMS: an exported model has MatrixNMS or MaskNMS'):
        describe(model, SimpleNamespace(candidates=3), shape=None, divisor=32, mean=(0.0, 0.0, 0.0))
