"""BlendMask's configs have as many parameters as the authors' models."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmagg.apis.config import load_config


def built(root, name: str) -> nn.Module:
    """The model of a config, without values."""
    with torch.device('meta'):
        return MODELS.build(load_config(root / f'configs/blendmask/{name}.py').model)


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(
    'name, number',
    [
        ('blendmask_r50_fpn_1x_coco', 36_034_682),
        ('blendmask_r50_fpn_3x_coco', 36_034_682),
        ('blendmask_r101_fpn_3x_coco', 55_026_810),
        ('blendmask_r101-dcni3_fpn_5x_coco', 55_711_395),
        ('blendmask-550_r50_fpn_3x_coco', 32_343_930),
        ('blendmask-rt_r50_fpn_4x_coco', 31_753_850),
        # A scale and a shift of 256 channels for each of three levels instead of one, in three layers.
        ('blendmask-rt-bn-head_r50_fpn_4x_coco', 31_753_850 + 3 * 2 * 2 * 256),
    ],
)
def test_all_together(root, name, number) -> None:
    assert parameters(built(root, name)) == number


def test_part_by_part(root) -> None:
    model = built(root, 'blendmask_r50_fpn_1x_coco')
    head = model.mask_head
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert parameters(model.backbone) - parameters(*norms) == 23_454_912
    assert parameters(model.neck) == 3_868_672
    assert parameters(head.boxes) == 4_920_661
    assert parameters(head.masks.basis, head.semantic) == 1_930_197
    assert parameters(head.coefficients) == 1_807_120
