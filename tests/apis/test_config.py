from pathlib import Path

import pytest
from mmengine.config import Config

from mmagg.apis.config import check_options, load_config, set_work_dir
from mmagg.io.errors import InputError


@pytest.fixture(scope='module')
def cfg() -> Config:
    return load_config('mmdet::solo/solo_r50_fpn_1x_coco.py')


@pytest.mark.parametrize(
    'options',
    [
        {'model.mask_head.num_classes': 3},  # is there
        {'model.backbone.with_cp': True},  # an argument of ResNet
        {'model.backbone.conv_cfg.type': 'Conv2d'},  # a new dict for an argument
        {'optim_wrapper.clip_grad.max_norm': 35, 'optim_wrapper.accumulative_counts': 2},
        {'optim_wrapper.paramwise_cfg.norm_decay_mult': 0.0},  # read by the optimiser's builder
        {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 'dynamic'},  # of the new type
        {'randomness.seed': 1, 'load_from': 'x.pth', 'custom_hooks': []},  # the Runner's
        {'train_pipeline.2.scale': (64, 64)},  # inside a list
        {'train_dataloader.drop_last': True, 'model.test_cfg.update_thr': 0.1},  # dicts without a type
    ],
)
def test_options_that_somebody_reads(cfg: Config, options: dict) -> None:
    check_options(cfg, options)


@pytest.mark.parametrize(
    'key, message',
    [
        ('model.mask_hed.num_classes', 'did you mean mask_head'),
        ('train_cfg.max_epoch', 'EpochBasedTrainLoop takes no such argument; did you mean max_epochs'),
        ('modle.mask_head.num_classes', 'the Runner takes no such argument; did you mean model'),
        ('model.test_cfg.score_thrs', 'did you mean score_thr'),
        ('model.backbone.depht', 'did you mean depth'),
        ('train_pipeline.2.scales', 'Resize takes no such argument; did you mean scale'),
        ('train_pipeline.9.scale', 'Index 9 exceeds'),
        ('model.backbone.depth.x', 'depth'),
    ],
)
def test_misspelt_options_are_refused(cfg: Config, key: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_options(cfg, {key: 1})
    assert len(str(caught.value)) < 300


def test_options_are_merged(tmp_path: Path) -> None:
    cfg = load_config('mmdet::solo/solo_r50_fpn_1x_coco.py', {'model.mask_head.num_classes': 3})
    assert cfg.model.mask_head.num_classes == 3


@pytest.mark.parametrize('text, message', [('a = 1\n', 'no `model`'), (None, 'no such file')])
def test_what_is_no_config(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / 'x.py'
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(path)


def test_work_dir() -> None:
    assert set_work_dir(Config({}), 'configs/solo/a.py', None) == Path('work_dirs/a')
    assert set_work_dir(Config({'work_dir': 'b'}), 'a.py', None) == Path('b')
    assert set_work_dir(Config({'work_dir': 'b'}), 'a.py', Path('c')) == Path('c')
