"""The configs of A2-FPN against the parameter counts that the paper's Table 6 and ablations follow from."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

FOLDER = Path(__file__).resolve().parents[3] / 'configs' / 'a2fpn'
CONFIGS = sorted(FOLDER.glob('*.py'))
RISING, EQUAL = (64, 128, 192, 256), (160, 160, 160, 160)
MGC = 'MultiLevelGlobalContext'

# neck of a Mask R-CNN R-50 config: its parameters
COUNTS = {
    'fpn': 3_344_384,
    'pafpn': 6_884_864,
    'a2fpn': 16_661_500,
    'a2fpn-lite': 7_997_757,
    'a2fpn-no-gcn': 16_168_060,
    'pafpn-mgc': 10_036_224,
    'pafpn-mgc-no-gcn': 9_542_784,
    'pafpn-gacarafe': 7_664_687,
    'pafpn-carafe': 7_107_308,
    'pafpn-gacap': 5_764_622,
    'pafpn-cap': 5_207_243,
    'pafpn-mgc-gacarafe': 10_816_047,
    'pafpn-mgc-gacap': 8_915_982,
    'pafpn-gacarafe-gacap': 6_544_445,
    # The entities alone depend on n_i: each has c_i weights and a bias.
    'pafpn-mgc-contexts-rising': 10_036_224 + 376_832,
    'pafpn-mgc-contexts-160': 10_036_224 + 188_416,
    # The gain of a gate has no parameters.
    'pafpn-gacarafe-sigmoid': 7_664_687,
    'pafpn-gacap-sigmoid': 5_764_622,
}
OPTIONS = {
    'full, rising contexts': ('a2fpn', {'model.neck.lateral.num_contexts': RISING}, 17_038_332),
    'full, 160 contexts': ('a2fpn', {'model.neck.lateral.num_contexts': EQUAL}, 16_849_916),
    'all three in the frame of PAFPN': (
        'pafpn-gacarafe-gacap',
        {'model.neck.lateral': dict(_delete_=True, type=MGC)},
        9_695_805,
    ),
}
# Whole detectors, frozen parameters too. Table 6 leaves out 225,344 frozen ones and has a class more in its heads.
DETECTORS = {'fpn': 44.396, 'pafpn': 47.937, 'a2fpn': 57.713, 'a2fpn-lite': 49.050}


@cache
def config(path: Path) -> Config:
    return Config.fromfile(path)


def mask_rcnn(neck: str) -> Config:
    return deepcopy(config(FOLDER / f'mask-rcnn_r50_{neck}_1x_coco.py'))


def parameters(part: dict) -> int:
    init_default_scope('mmdet')
    with torch.device('meta'):
        return sum(p.numel() for p in MODELS.build(part).parameters())


@pytest.mark.parametrize('neck', COUNTS)
def test_neck_parameters(neck):
    assert parameters(mask_rcnn(neck).model.neck) == COUNTS[neck]


@pytest.mark.parametrize(('neck', 'options', 'count'), OPTIONS.values(), ids=OPTIONS)
def test_neck_parameters_with_options(neck, options, count):
    cfg = mask_rcnn(neck)
    cfg.merge_from_dict(options)
    assert parameters(cfg.model.neck) == count


@pytest.mark.parametrize('neck', DETECTORS)
def test_detector_parameters(neck):
    assert round(parameters(mask_rcnn(neck).model) / 1e6, 3) == DETECTORS[neck]


def test_every_ablation_is_counted():
    assert {path.stem.split('_')[2] for path in FOLDER.glob('mask-rcnn_r50_*_1x_coco.py')} == set(COUNTS)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_training_is_the_papers(path):
    """The orthogonal loss wherever there are entities; padding that suits the coarsest level; batches of 8."""
    cfg = config(path)
    neck = cfg.model.neck
    if neck.type == 'A2FPN':
        assert neck.lateral.type in (MGC, 'LateralConvs')
        of_mmdet = ('EMAHook', 'PipelineSwitchHook') * path.stem.startswith('rtmdet')
        assert tuple(hook.type for hook in cfg.custom_hooks) == (*of_mmdet, 'AuxiliaryLossHook')
    joint_level = neck.type == 'A2FPN' and neck.get('joint_level', True)
    assert cfg.model.data_preprocessor.pad_size_divisor == (64 if joint_level else 32)
    if 'rcnn' in path.stem or 'htc' in path.stem:
        assert cfg.optim_wrapper.optimizer.lr == 0.01
        assert cfg.auto_scale_lr.base_batch_size == 4 * cfg.train_dataloader.batch_size == 8
        epochs, drops = {'1x': (12, [8, 11]), '20e': (20, [16, 19]), 'ms-2x': (24, [16, 22])}[path.stem.split('_')[3]]
        assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[-1].milestones) == (epochs, drops)
        assert cfg.param_scheduler[-1].end == epochs
        multi_scale = {'Resize': False, 'RandomResize': True}[cfg.train_dataloader.dataset.pipeline[2].type]
        assert multi_scale == ('ms' in path.stem)
    if 'htc' in path.stem:
        wanted = 'without-semantic' not in path.stem
        assert (cfg.model.roi_head.get('semantic_head') is not None) == wanted
        assert ('seg' in cfg.train_dataloader.dataset.data_prefix) == wanted
        assert cfg.train_dataloader.dataset.pipeline[1].get('with_seg', False) == wanted
