"""The sizes of pipelines, scaled together."""

import pytest
from mmengine.config import Config

from mmagg.apis.config import load_config, shipped_config
from mmagg.apis.pipeline_sizes import set_short_side, short_side_of_tests, steps
from mmagg.io.errors import InputError


def scaled(config: str, short_side: int) -> Config:
    cfg = load_config(shipped_config(config) if '::' not in config else config)
    set_short_side(cfg, short_side)
    return cfg


def step_of(cfg: Config, stage: str, kind: str) -> dict:
    pipeline = cfg[f'{stage}_dataloader'].dataset.pipeline
    return next(step for step in pipeline if step.type == kind)


def test_several_scales_and_the_test() -> None:
    cfg = scaled('solo/solo_r50_fpn_3x_coco.py', 400)
    assert step_of(cfg, 'train', 'RandomChoiceResize').scales == [(667, side // 2) for side in range(800, 639, -32)]
    assert step_of(cfg, 'val', 'Resize').scale == step_of(cfg, 'test', 'Resize').scale == (667, 400)


def test_there_and_back_is_nothing() -> None:
    cfg, before = scaled('demo/solo_tiny_shapes.py', 256), load_config(shipped_config('demo/solo_tiny_shapes.py'))
    assert step_of(cfg, 'train', 'Resize').scale == (256, 256)
    set_short_side(cfg, 128)
    assert cfg.to_dict() == before.to_dict()


def test_large_scale_jitter_keeps_its_range_and_scales_its_crop() -> None:
    cfg = scaled('mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco.py', 320)
    assert step_of(cfg, 'train', 'RandomResize').scale == (640, 640)  # for 1280 with cached mosaics of 640
    assert step_of(cfg, 'train', 'RandomResize').ratio_range == (0.5, 2.0)
    assert step_of(cfg, 'train', 'RandomCrop').crop_size == (320, 320)
    assert step_of(cfg, 'train', 'CachedMosaic').img_scale == (320, 320)
    assert step_of(cfg, 'test', 'Pad').size == (320, 320)
    later = next(step for _, step in steps(dict(custom_hooks=cfg.custom_hooks)) if step.type == 'RandomResize')
    assert later.scale == (320, 320)  # the last epochs' pipeline


def test_crops_of_a_share_stay_and_choices_are_looked_into() -> None:
    cfg = scaled('mmdet::detr/detr_r50_8xb2-150e_coco.py', 400)
    inner = [step for place, step in steps(cfg) if place.startswith('train') and step.type == 'RandomCrop']
    assert [step.crop_size for step in inner] == [(192, 300)]  # 384, 600; no share
    shares = dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.5, 0.5))
    cfg.train_dataloader.dataset.pipeline.insert(2, Config(shares)._cfg_dict)
    set_short_side(cfg, 200)
    assert cfg.train_dataloader.dataset.pipeline[2].crop_size == (0.5, 0.5)


def test_images_below_the_finest_stride_are_refused() -> None:
    own = 'own/blendmask_lite0_fpn_320.py'  # strides from 8 on, and jitter from 0.6 times on
    assert step_of(scaled(own, 14), 'train', 'RandomResize')['scale'][1] == 14
    with pytest.raises(InputError, match=r'^--short-side 13: .* finest stride, 8 pixels; a number from 14 is wanted$'):
        scaled(own, 13)


@pytest.mark.parametrize('change', [dict(type='Albu', transforms=[]), dict(type='Resize', scale_factor=0.5)])
def test_what_is_not_known_is_refused(change) -> None:
    cfg = load_config(shipped_config('demo/solo_tiny_shapes.py'))
    cfg.train_dataloader.dataset.pipeline.insert(2, Config(change)._cfg_dict)
    with pytest.raises(
        InputError, match=r'^--short-side 64: train_dataloader.dataset.pipeline.2 is (Albu|Resize), of '
    ):
        set_short_side(cfg, 64)
    cfg.test_dataloader.dataset.pipeline = cfg.val_dataloader.dataset.pipeline = []
    with pytest.raises(InputError, match='has no Resize to a size'):
        short_side_of_tests(cfg, '--short-side 64')


def test_test_time_augmentation_goes_along() -> None:
    cfg = Config.fromfile(shipped_config('_base_/mask_tta.py'))
    cfg.merge_from_dict(load_config(shipped_config('solov2/solov2_r50_fpn_1x_coco.py')).to_dict())
    set_short_side(cfg, 400)
    assert [step.scale for step in cfg.tta_pipeline[1].transforms[0]] == [(667, 400), (533, 320), (800, 480)]
