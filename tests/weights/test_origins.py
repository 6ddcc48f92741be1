"""Projects told by the keys of their checkpoints."""

import shlex
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config
from mmagg.weights.origins import converter_hint, origin_of


def keys(config: str | Path) -> list[str]:
    cfg = load_config(config)
    with torch.device('meta'):
        return list(MODELS.build(cfg.model).state_dict())


@pytest.mark.parametrize(
    'name',
    ['solo_r50_fpn_1x', 'decoupled-solo_r50_fpn_1x', 'decoupled-solo-light_r50_fpn_3x', '../solov2/solov2_r50_fpn_1x'],
)
def test_mmdets_solo_family(name: str) -> None:
    folder, _, name = f'solo/{name}'.replace('solo/../', '').rpartition('/')
    assert origin_of(keys(f'mmdet::{folder}/{name}_coco.py')).converter == 'convert-mmdet'


@pytest.mark.parametrize(
    'name',
    ['mask_rcnn/mask-rcnn_r50_fpn_1x', 'condinst/condinst_r50_fpn_ms-poly-90k', 'rtmdet/rtmdet-ins_s_8xb32-300e'],
)
def test_others_of_mmdet_need_no_converter(name: str) -> None:
    assert origin_of(keys(f'mmdet::{name}_coco{"_instance" if "condinst" in name else ""}.py')) is None


@pytest.mark.parametrize('name', ['solo/solo_r50_fpn_1x_coco', 'blendmask/blendmask_r50_fpn_1x_coco'])
def test_ours_need_none(name: str, root: Path) -> None:
    assert origin_of(keys(root / f'configs/{name}.py')) is None


@pytest.mark.parametrize(
    'key, converter',
    [
        ('bbox_head.cate_convs.0.conv.weight', 'convert-aggmask'),
        ('bbox_head.dsolo_ins_list_x.0.weight', 'convert-aggmask'),
        ('mask_feat_head.convs_all_levels.0.conv0.conv.weight', 'convert-aggmask'),
        ('basis_module.refine.0.0.weight', 'convert-adelaidet'),
        ('proposal_generator.MEInst_head.cls_tower.0.weight', 'convert-adelaidet'),
    ],
)
def test_the_command_is_one_to_type(key: str, converter: str) -> None:
    hint = converter_hint(['backbone.conv1.weight', key], 'my weights/R 50.pth', config='a b.py')
    words = shlex.split(hint.partition('convert it first: ')[2])
    assert words == [
        'mmagg',
        converter,
        'my weights/R 50.pth',
        'R 50_mmagg.pth',
        '--config',
        'a b.py',
    ]


def test_a_url_is_a_file_by_then() -> None:
    assert ' R_50.pth R_50_mmagg.pth ' in converter_hint(['basis_module.x'], 'https://cloud.example/s/R_50.pth')


def test_a_model_of_the_same_project_needs_none() -> None:
    assert converter_hint(['mask_head.cls_convs.9.x'], 'a.pth', ours=['mask_head.cls_convs.0.x']) == ''
