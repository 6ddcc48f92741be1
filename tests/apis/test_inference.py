"""The preparation of a model for inference changes its speed alone."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmagg.apis.config import load_config
from mmagg.apis.inference import for_inference, infer, load_model
from mmagg.ops import dynamic_conv_native
from mmagg.ops.dynamic_conv import VARIABLE

BACKBONES = {
    'ResNet': dict(type='ResNet', depth=50, base_channels=8, norm_eval=True),
    'ResNeXt': dict(type='ResNeXt', depth=50, groups=4, base_width=4, norm_eval=True),
    'deformable': dict(
        type='ResNet',
        depth=50,
        base_channels=8,
        norm_eval=True,
        dcn=dict(type='DCNv2', deform_groups=1),
        stage_with_dcn=(False, False, True, True),
    ),
}


class Detector(nn.Module):
    """A backbone, and a head in which two normalisations share a convolution, as mmdet has it in some heads."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        shared = nn.Conv2d(8, 8, 3)
        self.heads = nn.ModuleList(nn.Sequential(shared, nn.BatchNorm2d(8)) for _ in range(2))

    def forward(self, image, feature):
        return [*self.backbone(image), *(head(feature) for head in self.heads)]


@pytest.mark.parametrize('name', BACKBONES)
def test_results_stay_the_same(name):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = Detector(BACKBONES[name])
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                for tensor, (low, high) in (
                    (module.running_mean, (-0.5, 0.5)),
                    (module.running_var, (0.5, 2)),
                    (module.weight, (0.5, 1.5)),
                    (module.bias, (-0.5, 0.5)),
                ):
                    tensor.uniform_(low, high)
    model = model.double().eval()
    image, feature = torch.randn(1, 3, 64, 64).double(), torch.randn(1, 8, 6, 6).double()
    before = sum(isinstance(module, _BatchNorm) for module in model.backbone.modules())
    prepared = for_inference(deepcopy(model))
    after = sum(isinstance(module, _BatchNorm) for module in prepared.backbone.modules())
    assert after < before / 4, 'normalisations are fused'
    with torch.no_grad():
        for ours, want in zip(prepared(image, feature), model(image, feature), strict=True):
            torch.testing.assert_close(ours, want)


def test_masks_are_rle_unless_an_option_says_otherwise(root, tmp_path):
    config = root / 'configs/demo/solo_tiny_shapes.py'
    torch.save({'state_dict': MODELS.build(load_config(config).model).state_dict()}, tmp_path / 'model.pth')
    for options, expected in ((None, 'rle'), ({'model.test_cfg.mask_format': 'bitmap'}, 'bitmap')):
        model = load_model(config, tmp_path / 'model.pth', cfg_options=options)
        assert model.mask_head.post_process.mask_format == expected
        assert model.cfg.model.test_cfg.mask_format == expected


def test_masks_that_are_not_finite_are_no_instances_in_either_form(root, tmp_path, monkeypatch):
    """NaN in the mask branch of AggMask: neither form of its aggregation may make numbers of it."""
    options = {'model.test_cfg.score_thr': 0.0, 'model.test_cfg.filter_thr': 0.0}
    config = load_config(root / 'configs/demo/aggmask_tiny_shapes.py', options)
    state = MODELS.build(config.model).state_dict()
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    found = {}
    for value in (0.0, float('nan')):
        state['mask_head.mask_branch.convs.0.bias'].fill_(value)
        torch.save({'state_dict': state}, tmp_path / 'a.pth')
        model = load_model(config, tmp_path / 'a.pth', device='cpu')
        for form in ('native', 'torch') if dynamic_conv_native.library() else ('torch',):
            monkeypatch.setenv(VARIABLE, form)
            found[form, str(value)] = len(infer(model, [image])[0].pred_instances)
    assert all((number > 0) == (value == '0.0') for (_, value), number in found.items()), found
