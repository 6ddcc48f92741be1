"""The compiled dynamic convolutions against the same in float64, and what happens without a compiler."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_native, dynamic_conv_of_gathered
from mmagg.ops.dynamic_conv import VARIABLE, backends


@pytest.fixture(autouse=True)
def _no_gradients(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with torch.no_grad():
        yield


@pytest.fixture
def native():
    if dynamic_conv_native.library() is None:
        pytest.skip('no C++ compiler here')


def case(k: int = 5, context: int = 16, size=(12, 70), small=(6, 35), number: int = 9, **options):
    spec = DynamicConvSpec(k + context, **options)
    maps, shared = torch.randn(11, *small), torch.randn(context, *size)
    return maps, torch.randint(0, 11, (number, k)), shared, 0.3 * torch.randn(number, spec.num_params), spec


def exact(maps, index, shared, params, spec):
    large = F.interpolate(maps[None].double(), size=shared.shape[1:], mode='bilinear')[0]
    stacks = torch.cat([large[index], shared.double().expand(len(index), -1, -1, -1)], 1)
    return dynamic_conv(stacks, params.double(), spec).float()


@pytest.mark.usefixtures('native')
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(number=1),
        dict(number=20, size=(5, 3), small=(5, 3)),  # narrower than a vector, no upsampling
        dict(size=(13, 131), small=(7, 60)),  # another factor than two
        dict(size=(9, 64), small=(9, 32)),
        dict(size=(1, 1), small=(1, 1)),
        dict(k=0),
        dict(context=0),
        dict(k=9, channels=7, num_layers=4),
        dict(num_layers=1),
        dict(channels=9, num_layers=2, kernel_size=5),
        dict(kernel_size=1),
    ],
    ids=str,
)
def test_equals_the_exact_net(options) -> None:
    inputs = case(**options)
    ours = dynamic_conv_of_gathered(*inputs, backend='native')
    want = exact(*inputs)
    torch.testing.assert_close(ours, want, rtol=0, atol=2e-6 * want.abs().max().item())
    slow = dynamic_conv_of_gathered(*inputs, backend='torch')
    torch.testing.assert_close(slow, want, rtol=0, atol=2e-5 * want.abs().max().item())


@pytest.mark.usefixtures('native')
def test_inputs_of_any_layout() -> None:
    maps, index, shared, params, spec = case()
    crooked = [
        maps.transpose(1, 2).contiguous().transpose(1, 2),
        index.t().contiguous().t(),
        shared[None].contiguous(memory_format=torch.channels_last)[0],
        torch.stack([params, params], 2)[..., 0],
        spec,
    ]
    assert not any(x.is_contiguous() for x in crooked[:4])
    want = dynamic_conv_of_gathered(maps, index, shared, params, spec, backend='native')
    assert torch.equal(dynamic_conv_of_gathered(*crooked, backend='native'), want)


@pytest.mark.usefixtures('native')
def test_it_is_chosen_where_it_can_run(monkeypatch) -> None:
    calls = []
    inner = dynamic_conv_native.dynamic_conv_of_gathered
    monkeypatch.setattr(
        dynamic_conv_native, 'dynamic_conv_of_gathered', lambda *a, **b: calls.append(1) or inner(*a, **b)
    )
    maps, index, shared, params, spec = case()
    dynamic_conv_of_gathered(maps, index, shared, params, spec)
    assert len(calls) == 1
    with torch.enable_grad():
        dynamic_conv_of_gathered(maps, index, shared, params.requires_grad_(), spec)
    dynamic_conv_of_gathered(maps.double(), index, shared.double(), params.double(), spec)
    monkeypatch.setenv(VARIABLE, 'torch')
    dynamic_conv_of_gathered(maps, index, shared, params, spec)
    assert len(calls) == 1
    assert 'native' in backends()


def test_its_work_is_counted_by_a_mode_that_sees_operators_alone() -> None:
    counts = []
    for backend in (None, 'torch'):
        with FlopCounterMode(display=False) as counter:
            dynamic_conv_of_gathered(*case(), backend=backend)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_a_form_that_cannot_run_is_named() -> None:
    maps, index, shared, params, spec = case()
    with pytest.raises(RuntimeError, match='float32 on the CPU'):
        dynamic_conv_of_gathered(maps.double(), index, shared, params, spec, backend='native')


@pytest.mark.parametrize('compiler', [None, 'a-compiler-that-fails'])
def test_without_a_compiler_torch_runs(compiler, monkeypatch, tmp_path, caplog) -> None:
    dynamic_conv_native.attempt.cache_clear()
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    if compiler:
        (tmp_path / 'c++').write_text('#!/bin/sh\necho broken >&2\nexit 1\n')
        (tmp_path / 'c++').chmod(0o755)
    try:
        inputs = case()
        ours = [dynamic_conv_of_gathered(*inputs) for _ in range(2)][1]
        assert len(caplog.messages) == bool(compiler), 'one line, once'
        if compiler:
            assert caplog.messages[0].endswith('dynamic_conv_native.cpp: broken')
            assert 'the slower form in torch runs' in caplog.messages[0]
        torch.testing.assert_close(ours, exact(*inputs), rtol=1e-4, atol=1e-4)
        assert backends().startswith('torch on the CPU (not native: ')
        assert ('broken' if compiler else 'no C++ compiler; install g++') in backends()
        assert not list(tmp_path.glob('cache/mmagg/*.so'))
    finally:
        dynamic_conv_native.attempt.cache_clear()
