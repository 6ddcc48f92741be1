"""Weights are channels_last where convolutions are the faster for it and nothing reads them as contiguous."""

from logging import getLogger

import pytest
import torch
from mmcv.ops import ModulatedDeformConv2d
from torch import nn

from mmagg.engine.training_runner import TrainingRunner
from mmagg.engine.weight_layout import laid_out


def is_last(conv: nn.Conv2d) -> bool:
    return conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_training_on_the_cpu_runs_in_channels_last() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 3))
    images = torch.randn(2, 4, 9, 9)
    expected = model(images)
    parameters = list(model.parameters())
    runner = TrainingRunner.__new__(TrainingRunner)
    runner._distributed, runner.logger = False, getLogger()
    got = runner.wrap_model(None, model)
    assert is_last(model[0])
    assert is_last(model[2])
    assert all(a is b for a, b in zip(parameters, got.parameters(), strict=True))  # an optimiser has them
    torch.testing.assert_close(got(images), expected)
    assert got(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('other', [lambda: ModulatedDeformConv2d(4, 4, 3), lambda: nn.Conv2d(4, 4, 3, device='meta')])
def test_others_stay(other) -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3), other())
    assert not is_last(laid_out(model)[0])
