"""Exclusive time by stage."""

import copy
import types

import pytest
import torch
from torch import nn

from mmagg.engine import stages
from mmagg.engine.stages import StageClock, replaced, watch_training


class Time:
    """Time that passes when told so."""

    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(stages, 'perf_counter', time)
    return time


def test_a_nested_stage_is_not_charged_to_its_parent(time):
    clock = StageClock()
    time.sleep(100)
    with clock.stage('outer'):
        time.sleep(1)
        with clock.stage('inner'):
            time.sleep(5)
            with clock.stage('outer'):  # once more, further in
                time.sleep(20)
        time.sleep(2)
    time.sleep(100)
    with clock.stage('later'):
        time.sleep(7)
    assert clock.seconds == {'outer': 23, 'inner': 5, 'later': 7}
    assert clock.total == 35


def test_a_stage_that_fails_is_closed(time):
    clock = StageClock()

    def fail():
        with clock.stage('inner'):
            time.sleep(1)
            raise KeyError

    with clock.stage('outer'):
        with pytest.raises(KeyError):
            fail()
        time.sleep(2)
    assert clock.seconds == {'outer': 2, 'inner': 1}


class Lazy:
    """Runs its tower in the middle of decoding."""

    def __init__(self, time):
        self.time = time

    def tower(self):
        self.time.sleep(10)
        return 'features'

    def decode(self, *, factor):
        self.time.sleep(1)
        features = self.tower()
        self.time.sleep(2)
        return f'{factor} {features}'


def test_watched_methods_are_stages_and_restored(time):
    clock, lazy = StageClock(), Lazy(time)
    with clock.watch([(lazy, 'decode', 'decode'), (lazy, 'tower', 'head')]), clock.stage('post'):
        time.sleep(4)
        assert lazy.decode(factor=2) == '2 features'
    assert clock.seconds == {'decode': 3, 'head': 10, 'post': 4}
    assert set(vars(lazy)) == {'time'}
    lazy.decode(factor=1)
    assert clock.total == 17


def test_watched_networks_and_python_modules_are_restored_after_an_error(time):
    net, module = nn.Linear(2, 2), types.ModuleType('some_module')
    module.encode = original = len
    clock = StageClock()

    def fail():
        with clock.watch([(net, 'forward', 'net'), (module, 'encode', 'RLE')]):
            net(torch.zeros(1, 2))
            module.encode(3)

    with pytest.raises(TypeError):
        fail()
    assert set(clock.seconds) == {'net', 'RLE'}
    assert 'forward' not in vars(net)
    assert module.encode is original


def test_replaced_attributes_of_an_instance_come_back():
    owner = types.SimpleNamespace(value=None)
    with replaced(owner, 'value', 3):
        assert owner.value == 3
    assert owner.value is None


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
    with watch_training(clock, net.layers, 'towers forward', 'towers backward'), clock.stage('rest'):
        net(x).backward()
    assert set(clock.seconds) == {'towers forward', 'towers backward', 'rest'}
    assert all(seconds > 0 for seconds in clock.seconds.values())
    torch.testing.assert_close(x.grad, plain_x.grad)
    for own, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)
    assert all('forward' not in vars(layer) for layer in net.layers)


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
    with watch_training(clock, [tower], 'forward', 'backward'), clock.stage('rest'):
        x = torch.ones(3, requires_grad=True)
        (Slow.apply(tower(x), 100) + tower(2 * x)).sum().backward()
    assert clock.seconds == {'forward': 2, 'backward': 20, 'rest': 101}
