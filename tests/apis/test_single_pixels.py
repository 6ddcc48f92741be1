"""Trainings whose last step has one image, of which a batch norm sees one pixel."""

import pytest
import torch
from mmdet.registry import MODELS

from mmagg.apis.config import load_config, shipped_config
from mmagg.apis.pipeline_sizes import set_short_side
from mmagg.apis.single_pixels import check_single_pixels
from mmagg.io.errors import InputError

OWN = shipped_config('own/blendmask_lite0_fpn_320.py')


def at(short_side: int, options: dict | None = None):
    return load_config(OWN, options, changes=[lambda cfg: set_short_side(cfg, short_side)])


def test_pytorch_refuses_what_is_refused_here() -> None:
    cfg = at(80)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    model.extract_feat(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        model.extract_feat(torch.zeros(1, 3, 64, 64))


def test_an_image_left_over_is_refused_with_what_helps() -> None:
    with pytest.raises(InputError, match=r'64 x 64 pixels.* one of 5 .* 4 a step.*--batch-size.*drop_last=True'):
        check_single_pixels(at(80), images=5)


def test_images_one_by_one_are_refused() -> None:
    with pytest.raises(InputError, match=r'batch_size=1: take 2 or more'):
        check_single_pixels(at(80, {'train_dataloader.batch_size': 1}), images=6)


@pytest.mark.parametrize(
    ('short_side', 'options', 'number'),
    [
        (80, None, 6),
        (80, {'train_dataloader.drop_last': True}, 5),
        (80, {'train_dataloader.sampler.type': 'InfiniteSampler'}, 5),
        (320, None, 5),
        (320, {'train_dataloader.batch_size': 1}, 5),
        (80, {'model.neck.norm_cfg': dict(type='GN', num_groups=16)}, 5),
    ],
)
def test_other_trainings_pass(short_side, options, number) -> None:
    check_single_pixels(at(short_side, options), images=number)


@pytest.mark.parametrize('config', ['solo/solo_r50_fpn_1x_coco.py', 'own/solov2_lite0_a2fpn_320.py'])
def test_other_models_learn_from_one_image(config) -> None:
    cfg = load_config(shipped_config(config), {'train_dataloader.batch_size': 1})
    check_single_pixels(cfg, images=5)
