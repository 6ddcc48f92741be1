"""Two CPU processes give the losses of one process on the same global batch."""

import socket

import pytest
import torch
import torch.multiprocessing as mp
from boxed_heads import boxed_head
from boxed_heads import pyramid as boxed_pyramid
from coded_heads import coded_head
from grid_heads import KINDS, aggmask_head, batch_samples, mmagg_head, pyramid
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

BATCH = ['few', 'crowded', 'empty', 'tiny']
BOXED = ['boxed blend', 'boxed assemble', 'coded']
AGGREGATED = ['aggmask on solo-mask', 'aggmask on solov2-own-tower']


class Losses(torch.nn.Module):
    """A head whose forward is its loss, as a detector's is."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feats, samples):
        return self.head.loss(feats, samples)


def head_of(kind):
    torch.manual_seed(1)
    if kind == 'coded':
        return coded_head('codes')
    if kind in BOXED:
        return boxed_head(kind.removeprefix('boxed '))
    if kind in AGGREGATED:
        return aggmask_head(kind.removeprefix('aggmask on '))
    head = mmagg_head(kind)
    with torch.no_grad():
        for p in head.parameters():
            if p.ndim == 4:
                p.normal_(std=0.2)
    return head


def batch_of(kind):
    """Features and samples; of the heads with boxes, one process has no objects at all."""
    if kind in BOXED:
        return boxed_pyramid(4, 64, 96), batch_samples(['few', 'crowded', 'empty', 'empty'], 64, 96)
    return pyramid(4, 64, 96), batch_samples(BATCH, 64, 96)


def run(rank, world, port, results):
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=world)
    outcomes = {kind: step(kind, rank, world) for kind in (*KINDS, *AGGREGATED, *BOXED)}
    if rank == 0:
        torch.save(outcomes, results)
    distributed.barrier()  # whoever leaves first would leave the other waiting
    distributed.destroy_process_group()


def step(kind, rank, world):
    """Mean losses over the processes, and gradients, of this process's part of the batch."""
    feats, samples = batch_of(kind)
    part = slice(rank * len(samples) // world, (rank + 1) * len(samples) // world)
    model = DistributedDataParallel(Losses(head_of(kind)))
    losses = model([x[part] for x in feats], samples[part])
    sum(losses.values()).backward()
    mean = {name: value.detach().clone() for name, value in losses.items()}
    for value in mean.values():
        distributed.all_reduce(value)
        value /= world
    return mean, {name.removeprefix('module.head.'): p.grad.clone() for name, p in model.named_parameters()}


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    results = tmp_path_factory.mktemp('distributed') / 'results.pt'
    mp.spawn(run, args=(2, port, results), nprocs=2)
    return torch.load(results, weights_only=True)


@pytest.mark.parametrize('kind', [*KINDS, *AGGREGATED, *BOXED])
def test_two_processes_equal_one(kind, outcomes):
    """Losses (their mean over the processes) and gradients; one of the two has images without objects or tiny ones."""
    mean, gradients = outcomes[kind]
    head = head_of(kind)
    losses = head.loss(*batch_of(kind))
    sum(losses.values()).backward()
    for name, value in losses.items():
        torch.testing.assert_close(mean[name], value.detach(), rtol=1e-5, atol=1e-6)
    for name, p in head.named_parameters():
        scale = p.grad.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(gradients[name] / scale, p.grad / scale, rtol=1e-4, atol=1e-5)
