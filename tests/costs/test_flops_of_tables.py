"""Parameters and multiply-adds of whole detectors against the papers' tables."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmagg.apis.config import load_config
from mmagg.costs.flops import count_costs
from mmagg.costs.plain_a2fpn import plainly


def on_meta(config: Path | str, change=None) -> nn.Module:
    cfg = load_config(config).model
    if change is not None:
        change(cfg)
    with torch.device('meta'):
        return MODELS.build(cfg)


@pytest.mark.parametrize(
    'name, paper, neck',
    [
        ('fpn', ('283.28', '44.18'), '60.32'),
        ('pafpn', ('309.05', '47.72'), '86.08'),
        ('a2fpn', ('375.39', '57.49'), None),
        ('a2fpn-lite', ('319.91', '48.83'), None),
    ],
)
def test_mask_rcnn_of_a2fpns_table_6(root, name, paper, neck):
    model = on_meta(root / f'configs/a2fpn/mask-rcnn_r50_{name}_1x_coco.py')
    modern = count_costs(model, (1280, 832)).parts['neck']
    # MMDetection v1 has a background class for boxes and masks, too.
    model.roi_head.bbox_head.fc_reg = nn.Linear(1024, 4 * 81, device='meta')
    model.roi_head.mask_head.conv_logits = nn.Conv2d(256, 81, 1, device='meta')
    total = count_costs(model, (1280, 832), convention='paper').total
    assert (f'{total.macs / 1e9:.2f}', f'{total.trainable / 1e6:.2f}') == paper
    if neck is not None:
        assert f'{modern.macs / 1e9:.2f}' == neck
    assert count_costs(plainly(model), (1280, 832)).parts['neck'].macs >= modern.macs


def test_aggmasks_table_4(root):
    """Parameters, and what finer class grids cost, as printed; total FLOPs are averages over COCO's images."""

    def as_in_the_table(cfg) -> None:
        """Lighter than the release: one context convolution, parameters from a 1x1 convolution."""
        cfg.mask_head.aggregator.context.hidden_channels = None
        cfg.mask_head.aggregator.parameters.kernel_size = 1

    solo = count_costs(on_meta(root / 'configs/solo/solo_r101_fpn_3x_coco.py'), (800, 1216), convention='paper').total
    names = ('aggmask-solo_r101_fpn_3x', 'aggmask-solo_r101_fpn_cls-grid_3x', 'aggmask-solo_r101_fpn_mask-grid_3x')
    same, finer, coarser = (
        count_costs(
            on_meta(root / f'configs/aggmask/{name}_coco.py', as_in_the_table), (800, 1216), convention='paper'
        ).total
        for name in names
    )
    assert f'{solo.trainable / 1e6:.1f}' == '55.1'
    assert solo.trainable == 55_068_016
    assert solo.params - solo.trainable == 225_344  # ResNet's stem and first stage
    assert f'{coarser.trainable / 1e6:.1f}' == '54.6'
    assert same.trainable == finer.trainable
    assert f'{(finer.macs - same.macs) / 1e9:.1f}' == '5.5'
    assert all(a > b for a, b in pairwise([finer.macs, same.macs, solo.macs, coarser.macs]))


def test_blendmasks_coefficients(root):
    """784 coefficients everywhere cost a seventh of the detector, and next to nothing where they are needed."""
    model = on_meta(root / 'configs/blendmask/blendmask_r50_fpn_1x_coco.py')
    dense = count_costs(model, (800, 1216), convention='paper').parts['mask_head.coefficients'].macs
    places = 100 * 152 + 50 * 76 + 25 * 38 + 13 * 19 + 7 * 10
    assert dense == places * 4 * 14 * 14 * (9 * 256 + 1)
    assert f'{dense / 1e9:.1f}' == '36.6'
    lazy = count_costs(model, (800, 1216), candidates=200)
    assert f'{lazy.parts["mask_head.coefficients"].macs / 1e9:.2f}' == '0.36'
    assert lazy.idle == ['mask_head.semantic']
