"""Numbers that no model can have are refused as a config is loaded, with key and value."""

import sys
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from torch import nn

from mmagg.apis.config import load_config
from mmagg.io.errors import InputError


class Foreign(nn.Module):
    """A module of a user's own."""


DEMO = 'configs/demo/{}_tiny_shapes.py'


@pytest.mark.parametrize(
    'config, key, value',
    [
        ('solo', 'mask_head.in_channels', -64),
        ('solo', 'mask_head.in_channels', 0),
        ('solo', 'mask_head.grids', (0,)),
        ('solo', 'mask_head.grids', (1.5,)),
        ('solo', 'neck.out_channels', 'many'),
        ('solo', 'backbone.base_channels', 0),
        ('solo', 'data_preprocessor.pad_size_divisor', 0),
        ('aggmask', 'mask_head.aggregator.channels', True),
        ('blendmask', 'mask_head.masks.attention_size', -3),
        ('blendmask', 'mask_head.masks.mask_size', 0),
        ('meinst', 'mask_head.masks.codec.num_codes', 'many'),
    ],
)
def test_sizes(root: Path, config: str, key: str, value: object) -> None:
    path = root / DEMO.format(config)
    with pytest.raises(InputError) as error:
        load_config(path, {f'model.{key}': value})
    assert str(error.value) == f'config {path}: model.{key}={value!r}, where whole numbers from 1 are wanted'


@pytest.mark.parametrize('key', ['test_cfg.score_thr', 'test_cfg.nms_pre', 'mask_head.loss_mask.loss_weight'])
def test_numbers(root: Path, key: str) -> None:
    path = root / DEMO.format('solo')
    with pytest.raises(InputError, match=f"model.{key}='0,5', where a number is wanted"):
        load_config(path, {f'model.{key}': '0,5'})
    load_config(path, {f'model.{key}': 1})


def test_strides(root: Path) -> None:
    load_config('mmdet::yolact/yolact_r50_1xb8-55e_coco.py')  # whose anchors have some of fractions of pixels
    path = root / DEMO.format('solo')
    with pytest.raises(InputError, match=r'model\.mask_head\.strides=\(0, 8\), where numbers from 1 are wanted'):
        load_config(path, {'model.mask_head.strides': (0, 8)})


@pytest.mark.parametrize('kind', [Foreign, 'ForeignNeck', 'NobodyKnows'])
def test_modules_of_others_have_meanings_of_their_own(root: Path, kind: str | type) -> None:
    options = dict(mask_size=-1, kernel_size=0, strides='auto', loss_weight='by area', inner=dict(channels=0))
    neck = {'model.neck': dict(_delete_=True, type=kind, **options)}
    path = root / DEMO.format('solo')
    MODELS.register_module(name='ForeignNeck', module=Foreign, force=True)
    try:
        assert load_config(path, neck).model.neck.mask_size == -1
        with pytest.raises(InputError, match=r'model\.neck\.own\.kernel_size=0'):
            load_config(path, {**neck, 'model.neck.own': dict(type='Conv2d', kernel_size=0)})
    finally:
        del MODELS._module_dict['ForeignNeck']


@pytest.mark.parametrize('method', ['solov2', 'aggmask-solo', 'blendmask'])
@pytest.mark.filterwarnings('error')
def test_a_backbone_of_a_package_that_is_absent(root: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)
    monkeypatch.setitem(sys.modules, 'mmpretrain.models', None)
    (path,) = (root / 'configs/backbones').glob(f'{method}_convnext-t_*.py')
    with pytest.raises(InputError, match=r'model\.backbone is of mmpretrain, .* pip install onedl-mmpretrain') as error:
        load_config(path)
    assert '\n' not in str(error.value)
