"""Losses of a detector's parts join those of the detector: alone, under AMP, over two processes, in a training."""

import logging
import socket

import pytest
import torch
import torch.multiprocessing as mp
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from mmagg import register  # noqa: F401
from mmagg.engine import add_auxiliary_losses
from mmagg.models.necks import A2FPN

WEIGHT = 0.5


def small_neck():
    lateral = dict(type='MultiLevelGlobalContext', channels=8, num_contexts=(4, 4))
    neck = A2FPN(in_channels=(8, 12), out_channels=8, num_outs=3, lateral=lateral, orthogonal_weight=WEIGHT)
    with torch.no_grad():
        for conv in neck.lateral.entities:
            conv.weight.normal_()
    return neck


@MODELS.register_module()
class NeckOnly(BaseModel):
    """A detector whose own loss is the mean of its neck's outputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.neck = small_neck()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        levels = self.neck([x, x[:, :, ::2, ::2].repeat(1, 2, 1, 1)[:, :12]])
        return {'loss_own': sum(level.mean() for level in levels)} if mode == 'loss' else levels


def penalty(neck):
    """Eq. 2, and its gradient by hand: 4 (W Wᵀ - I) W."""
    matrices = [conv.weight.detach().flatten(1).double() for conv in neck.lateral.entities]
    off = [w @ w.t() - torch.eye(len(w)).double() for w in matrices]
    return sum(x.square().sum() for x in off), [4 * x @ w for x, w in zip(off, matrices, strict=True)]


def images(batch=2):
    return torch.randn(batch, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def entity_gradients(model):
    return [conv.weight.grad.flatten(1).clone() for conv in model.neck.lateral.entities]


def test_it_is_the_papers_loss_and_only_in_training_mode():
    model = NeckOnly()
    own = model(images(), mode='loss')
    sum(own.values()).backward()
    without = entity_gradients(model)
    model.zero_grad()

    handle = add_auxiliary_losses(model)
    losses = model(images(), mode='loss')
    want, gradients = penalty(model.neck)
    assert losses['loss_own'] == own['loss_own']
    torch.testing.assert_close(losses['loss_orth'].double(), WEIGHT * want, rtol=1e-6, atol=0)
    sum(losses.values()).backward()
    for both, alone, gradient in zip(entity_gradients(model), without, gradients, strict=True):
        torch.testing.assert_close((both - alone).double(), WEIGHT * gradient, rtol=1e-4, atol=1e-5)
    assert isinstance(model(images()), tuple)
    handle.remove()
    assert set(model(images(), mode='loss')) == {'loss_own'}


def test_no_weight_no_loss():
    assert (
        A2FPN(in_channels=(8,), num_outs=2, lateral=dict(type='LateralConvs'), out_channels=8).auxiliary_losses() == {}
    )
    neck = small_neck()
    neck.orthogonal_weight = 0.0
    assert neck.auxiliary_losses() == {}


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])
def test_exact_under_amp(dtype):
    """In float32 whatever the autocast, and scaled with the other losses."""
    model = NeckOnly()
    add_auxiliary_losses(model)
    want, gradients = penalty(model.neck)
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**12)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with torch.autocast('cpu', dtype=dtype):
        losses = model(images(), mode='loss')
    torch.testing.assert_close(losses['loss_orth'].double(), WEIGHT * want, rtol=1e-6, atol=0)
    scaler.scale(losses['loss_orth']).backward()
    scaler.unscale_(optimizer)
    for ours, gradient in zip(entity_gradients(model), gradients, strict=True):
        torch.testing.assert_close(ours.double(), WEIGHT * gradient, rtol=1e-5, atol=1e-6)


def in_process(rank, world, port, results):
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
    detector = NeckOnly()
    add_auxiliary_losses(detector)
    model = DistributedDataParallel(detector)
    sum(model(images()[rank : rank + 1], mode='loss').values()).backward()
    if rank == 0:
        torch.save({name: p.grad for name, p in detector.named_parameters()}, results)
    distributed.barrier()  # whoever leaves first would leave the other waiting
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    mp.spawn(in_process, args=(2, port, tmp_path / 'gradients.pt'), nprocs=2)
    gradients = torch.load(tmp_path / 'gradients.pt', weights_only=True)
    model = NeckOnly()
    add_auxiliary_losses(model)
    sum(model(images(), mode='loss').values()).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(
            gradients[name], p.grad, rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f'{name}: {m}'
        )


def test_a_training_with_the_hook(tmp_path):
    model = NeckOnly()
    before = penalty(model.neck)[0]
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=2,
            dataset=[dict(inputs=x) for x in images(4)],
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        custom_hooks=[dict(type='AuxiliaryLossHook')],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        default_scope='mmdet',
        log_level=logging.ERROR,
        experiment_name=f'{tmp_path.name}',
    )
    runner.train()
    logged = runner.message_hub.get_scalar('train/loss_orth')
    assert len(logged.data[0]) == 6
    assert penalty(model.neck)[0] < 0.9 * before
