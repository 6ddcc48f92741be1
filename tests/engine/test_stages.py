"""Stages set by hooks, and training with modules in graphs of their own."""

import copy

import pytest
import torch
from torch import nn

from mmagg.engine.stages import marked, own_graphs
from mmagg.ops.stage import StageClock


class Nested(nn.Module):
    """Takes its time before and after what is within it."""

    def __init__(self, time, seconds, inner=None):
        super().__init__()
        self.time, self.seconds, self.inner = time, seconds, inner

    def forward(self, x):
        self.time.sleep(self.seconds)
        x = x if self.inner is None else self.inner(x)
        self.time.sleep(self.seconds)
        return x + 1


def test_forward_passes_of_modules_are_stages(time):
    clock, tower = StageClock(), Nested(time, 5)
    net = Nested(time, 1, tower)
    with marked([(net, 'outer'), (tower, 'inner')]), clock.listening():
        assert net(torch.zeros(1)) == 2
    assert clock.seconds == {'outer': 2, 'inner': 10}
    net(torch.zeros(1))
    assert clock.total == 12
    assert not any(x._forward_hooks or x._forward_pre_hooks for x in (net, tower))


def test_a_module_that_fails_is_closed(time):
    clock, tower = StageClock(), Nested(time, 5)
    net = Nested(time, 1, tower)
    with marked([(net, 'outer'), (tower, 'inner')]), clock.listening(), clock.stage('rest'):
        with pytest.raises(TypeError):
            net('no tensor')
        time.sleep(3)
    assert clock.seconds == {'inner': 10, 'outer': 1, 'rest': 3}


class Net(nn.Module):
    """Two layers that share their weights over two branches, and what comes after them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)) for _ in range(2)
        )
        self.after = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        small = x[..., ::2, ::2]
        for layer in self.layers:
            x, small = layer(x), layer(small)
        return self.after(x).mean() + self.after(small).square().mean()


def test_backward_of_watched_modules_gives_the_same_gradients():
    net = Net()
    plain, x = copy.deepcopy(net), torch.randn(2, 3, 8, 8, requires_grad=True)
    plain_x = x.detach().clone().requires_grad_()
    plain(plain_x).backward()

    clock = StageClock()
    with clock.listening(), own_graphs(net.layers, 'towers forward', 'towers backward'), clock.stage('rest'):
        net(x).backward()
    assert set(clock.seconds) == {'towers forward', 'towers backward', 'rest'}
    assert all(seconds > 0 for seconds in clock.seconds.values())
    torch.testing.assert_close(x.grad, plain_x.grad)
    for own, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.layers)


def test_backward_time_is_told_apart(time):
    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, seconds):
            ctx.seconds = seconds
            time.sleep(1)
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            time.sleep(ctx.seconds)
            return grad, None

    class Tower(nn.Module):
        def forward(self, x):
            return Slow.apply(x, 10)

    clock, tower = StageClock(), Tower()
    with clock.listening(), own_graphs([tower], 'forward', 'backward'), clock.stage('rest'):
        x = torch.ones(3, requires_grad=True)
        (Slow.apply(tower(x), 100) + tower(2 * x)).sum().backward()
    assert clock.seconds == {'forward': 2, 'backward': 20, 'rest': 101}
