"""A training stops at a loss that is not finite, before it is saved, and names the images."""

import logging
import math
import types

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmagg.engine import FiniteLossHook, finite_losses
from mmagg.engine.finite_losses import image_paths


@MODELS.register_module()
class MeanSquare(BaseModel):
    """Two losses of one weight; `acc` is not one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = torch.stack(list(inputs)) * self.weight
        # The square root's derivative at 0 is infinite.
        return {'loss_square': x.square().mean(), 'loss_root': x.abs().sqrt().mean(), 'acc': x.sum() * math.nan}


def train(work_dir, values, **options):
    """Two images a batch, named 0.png, 1.png, ..., each filled with one of `values`; every iteration is saved."""
    samples = [DetDataSample(metainfo=dict(img_path=f'images/{i}.png')) for i in range(len(values))]
    dataset = [dict(inputs=torch.full((1,), x), data_samples=y) for x, y in zip(values, samples, strict=True)]
    runner = Runner(
        model=dict(type='MeanSquare'),
        work_dir=str(work_dir),
        train_dataloader=dict(batch_size=2, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=False, max_iters=len(values) // 2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3), **options),
        custom_hooks=[dict(type='FiniteLossHook')],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        default_scope='mmdet',
        log_level=logging.ERROR,
        experiment_name=work_dir.name,
    )
    runner.train()


def saved(work_dir):
    return sorted(path.name for path in work_dir.glob('*.pth'))


def test_the_images_are_named_and_nothing_is_saved_after(tmp_path):
    with pytest.raises(FloatingPointError) as error:
        train(tmp_path, [1.0, 2.0, 3.0, math.inf, 4.0, 5.0])
    assert str(error.value).startswith(
        'iteration 2: loss_square is inf, loss_root is inf; images of the batch: images/2.png, images/3.png. '
    )
    assert saved(tmp_path) == ['iter_1.pth']


def test_a_gradient_that_is_not_finite_stops_before_its_weights_are_saved(tmp_path):
    with pytest.raises(FloatingPointError, match='iteration 2: grad_norm is nan; images of the batch: images/2'):
        train(tmp_path, [1.0, 2.0, 0.0, 0.0, 4.0, 5.0], clip_grad=dict(max_norm=1))
    assert saved(tmp_path) == ['iter_1.pth']


def test_finite_losses_go_on(tmp_path):
    train(tmp_path, [1.0, 2.0, 3.0, 4.0])
    assert saved(tmp_path) == ['iter_1.pth', 'iter_2.pth']


def after_iteration(values, **optim_wrapper):
    """The hook alone, with `values` in the log."""
    scalars = {}
    for name, value in values.items():
        scalars[f'train/{name}'] = HistoryBuffer()
        scalars[f'train/{name}'].update(value)
    runner = types.SimpleNamespace(
        optim_wrapper=types.SimpleNamespace(**optim_wrapper),
        message_hub=types.SimpleNamespace(log_scalars=scalars),
        logger=logging.getLogger('mmengine'),
        iter=0,
    )
    FiniteLossHook().after_train_iter(runner, 0, outputs=[name for name in values if name != 'grad_norm'])


def test_a_loss_scaler_may_see_infinite_gradients():
    after_iteration({'grad_norm': math.inf}, loss_scaler=None)
    with pytest.raises(FloatingPointError, match='grad_norm is inf; images of the batch: unknown'):
        after_iteration({'grad_norm': math.inf})


@pytest.mark.parametrize(
    'own, others, said',
    [
        ({'loss_mask': 1.0}, 2, 'a loss of another process'),  # before it is saved with the common gradient
        ({'loss_mask': 1.0, 'grad_norm': math.nan}, 2, 'a loss of another process'),
        ({'loss_mask': math.nan, 'grad_norm': math.nan}, 0, 'loss_mask is nan, grad_norm is nan'),
        ({'loss_mask': 1.0, 'grad_norm': math.nan}, 1, 'grad_norm is nan'),
    ],
)
def test_processes_stop_together_and_the_right_one_names_its_images(own, others, said, monkeypatch):
    monkeypatch.setattr(finite_losses, 'all_reduce', lambda worst, op: worst.clamp_(min=others))
    with pytest.raises(FloatingPointError, match=f'iteration 1: {said}'):
        after_iteration(own)


def test_images_are_found_in_nested_batches():
    a, b = (DetDataSample(metainfo=dict(img_path=name)) for name in ('a.png', 'b.png'))
    batch = {'sup': {'inputs': [torch.zeros(1)], 'data_samples': [a]}, 'unsup': ('text', [b, DetDataSample()])}
    assert list(image_paths(batch)) == ['a.png', 'b.png']
