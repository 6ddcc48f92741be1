"""Compiled parts give what they gave before."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from test_configs import sample

from mmagg.apis.compilation import compile_parts
from mmagg.models.layers import ConvTower


def losses_and_gradients(model: torch.nn.Module, images: torch.Tensor) -> tuple[dict, torch.Tensor]:
    model.zero_grad()
    losses = model(images, [sample(64), sample(64)], mode='loss')
    sum(losses.values()).backward()
    return losses, model.mask_head.class_tower[0].conv.weight.grad.clone()


# 'eager' traces the graphs and runs them as they are; 'inductor' makes code of them.
@pytest.mark.parametrize('backend', ['eager', pytest.param('inductor', marks=pytest.mark.slow)])
def test_compiled_parts_change_nothing(root, backend) -> None:
    torch._dynamo.reset()
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(root / 'configs/demo/aggmask_tiny_shapes.py').model)
    model.init_weights()
    model.train()
    images = torch.randn(2, 3, 64, 64)
    names = list(model.state_dict())
    before, grad = losses_and_gradients(model, images)
    parts = compile_parts(model, backend)
    assert {type(part).__name__ for part in parts} == {'ResNet', 'MergedLevel', 'ConvTower'}
    assert len([part for part in parts if isinstance(part, ConvTower)]) == 3  # of classes, masks and parameters
    after, compiled_grad = losses_and_gradients(model, images)
    assert list(model.state_dict()) == names
    for name, loss in after.items():
        torch.testing.assert_close(loss, before[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(compiled_grad, grad, rtol=1e-2, atol=1e-4)
