"""BlendMask's configs have the schedules and the modules of its tables."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmagg.apis.config import load_config

ITERATIONS = 7330  # of an epoch, 16 images each
PAPER = [
    'blendmask-28-4-4_r50_fpn_deeplab-c3c5_1x',
    'blendmask_r50_fpn_deeplab-p3p5_1x',
    'blendmask_r50_fpn_deeplab-p3p5-256_1x',
    'blendmask_r50_fpn_deeplab-p2p5_1x',
    'blendmask_r50_fpn_proto_1x',
]
FINAL = 'blendmask_r50_fpn_deeplab-p3p5-256_3x'
SEMANTIC = {'model.mask_head.semantic': dict(type='SemanticHead', num_classes=80, in_channels=256)}
M = 'model.mask_head.masks.basis.'


@pytest.fixture
def config(root: Path):
    return lambda name, options=None: load_config(root / f'configs/blendmask/{name}_coco.py', options)


def resizing(cfg: Config) -> dict:
    steps = cfg.train_dataloader.dataset.pipeline
    (step,) = (step for step in steps if 'Resize' in step.type)
    return step


def thousands(cfg: Config) -> tuple[int, list[int]]:
    """Length and steps of the schedule, in tens of thousands of iterations."""
    schedule = cfg.param_scheduler[1]
    assert schedule.end == cfg.train_cfg.max_epochs
    return round(schedule.end * ITERATIONS / 1e4), [round(epoch * ITERATIONS / 1e4) for epoch in schedule.milestones]


@pytest.mark.parametrize('name', PAPER)
def test_ablations_have_fcos_schedule(config, name) -> None:
    cfg = config(name)
    assert thousands(cfg) == (9, [6, 8])
    step = resizing(cfg)
    assert (step.type, step.scale, step.keep_ratio) == ('Resize', (1333, 800), True)
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (1333, 800)
    warmup, fcos = cfg.param_scheduler[0], load_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py')
    assert warmup == dict(fcos.param_scheduler[0], end=1000)
    assert cfg.optim_wrapper.paramwise_cfg == fcos.optim_wrapper.paramwise_cfg
    assert cfg.optim_wrapper.optimizer.lr == fcos.optim_wrapper.optimizer.lr == 0.01


@pytest.mark.parametrize('name', [FINAL, FINAL.replace('r50', 'r101')])
def test_the_final_model(config, name) -> None:
    cfg = config(name)
    assert thousands(cfg) == (27, [18, 24])
    assert resizing(cfg).type == 'RandomResize'
    assert resizing(cfg).scale == [(1333, 640), (1333, 800)]
    assert cfg.param_scheduler[0].type == 'ConstantLR'
    once = config(FINAL.replace('3x', '1x'))
    assert once.model.mask_head == cfg.model.mask_head
    assert config('blendmask_r50_fpn_deeplab-p3p5_1x', SEMANTIC | {f'{M}channels': 256}).model == once.model


def test_the_releases_schedule(config) -> None:
    for name, schedule in (
        ('r50_fpn_1x', (9, [6, 8])),
        ('r50_fpn_3x', (27, [21, 25])),
        ('r101_fpn_3x', (27, [21, 25])),
    ):
        cfg = config(f'blendmask_{name}')
        assert thousands(cfg) == schedule
        assert [short for _, short in resizing(cfg).scales] == [640, 672, 704, 736, 768, 800]
        assert cfg.param_scheduler[0].type == 'LinearLR'


def test_those_of_table_9_see_the_same_images(config) -> None:
    names = ['blendmask-550_r50_fpn_3x', 'blendmask-550_r101_fpn_3x', 'mask-rcnn-550_r50_fpn_3x']
    configs = [config(name) for name in names]
    for cfg in configs:
        assert [short for _, short in resizing(cfg).scales] == [440, 462, 484, 506, 528, 550]
        assert cfg.test_dataloader.dataset.pipeline[1].scale == (916, 550)
        assert thousands(cfg) == (27, [21, 25])
    assert [cfg.model.backbone.depth for cfg in configs] == [50, 101, 50]
    assert configs[2].model.backbone == dict(configs[0].model.backbone)


CONVS = 'blendmask_r50_fpn_proto_1x', {}
P3 = CONVS[0], {f'{M}levels': [0], f'{M}channels': 256, f'{M}norm_cfg': None}


@pytest.mark.parametrize(
    'row, semantic, channels, convs',
    [
        (('blendmask_r50_fpn_deeplab-p3p5_1x', {}), False, 128, 5),
        (('blendmask_r50_fpn_deeplab-p3p5_1x', SEMANTIC), True, 128, 5),
        (('blendmask_r50_fpn_deeplab-p3p5-256_1x', {}), True, 256, 5),
        (('blendmask_r50_fpn_deeplab-p2p5_1x', {}), True, 256, 5),
        (P3, True, 256, 4),  # YOLACT's: three before the upsampling, one after it
        (CONVS, True, 128, 6),  # one for each of three levels, two, one
    ],
)
def test_the_bottom_modules_of_table_7(config, row, semantic, channels, convs) -> None:
    with torch.device('meta'):
        head = MODELS.build(config(*row).model).mask_head
    assert (head.semantic is not None) == semantic
    layers = [x for x in head.masks.basis.modules() if isinstance(x, nn.Conv2d) and x.kernel_size == (3, 3)]
    assert len(layers) == convs
    assert {x.out_channels for x in layers} == {channels}
    assert head.masks.basis.num_bases == 4
    assert not any(isinstance(x, nn.modules.batchnorm._BatchNorm) for x in head.masks.basis.modules()) or row is not P3
