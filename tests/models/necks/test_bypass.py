"""The backbone's maps pass beside the neck."""

import torch
from mmdet.models.necks import FPN
from mmdet.registry import MODELS

from mmagg.models.necks import BypassNeck

PYRAMID = dict(in_channels=[4, 6, 8, 10], out_channels=5, start_level=1, num_outs=5, add_extra_convs='on_output')


def test_levels_then_stages():
    torch.manual_seed(3)
    neck = MODELS.build(dict(type='BypassNeck', neck=dict(type='FPN', **PYRAMID), keep=(1, 3)))
    fpn = FPN(**PYRAMID)
    fpn.load_state_dict({key.removeprefix('neck.'): value for key, value in neck.state_dict().items()})
    stages = [torch.randn(2, c, s, s + 1) for c, s in zip((4, 6, 8, 10), (17, 9, 5, 3), strict=True)]
    out = neck(stages)
    assert len(out) == 7
    for ours, want in zip(out, fpn(stages), strict=False):
        torch.testing.assert_close(ours, want)
    assert out[5] is stages[1]
    assert out[6] is stages[3]


def test_initialises_the_neck():
    """By FPN's own rule, Xavier's."""
    neck = BypassNeck(neck=dict(type='FPN', **PYRAMID), keep=(1,))
    for p in neck.parameters():
        torch.nn.init.zeros_(p)
    neck.init_weights()
    bound = (6 / (6 + 5)) ** 0.5
    assert 0.5 * bound < neck.neck.lateral_convs[0].conv.weight.abs().max() <= bound
