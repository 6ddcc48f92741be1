"""Dynamic convolutions against loops over instances, and the gathered form against the stacks that it avoids."""

from math import inf, nan

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_native, dynamic_conv_of_gathered
from mmagg.ops.dynamic_conv import MAX_BLOCK

BACKENDS = ('native', 'torch') if dynamic_conv_native.library() else ('torch',)  # on the CPU


def one_by_one(x: torch.Tensor, params: torch.Tensor, spec: DynamicConvSpec) -> torch.Tensor:
    """A plain conv net per instance; its parameters are read off one after the other."""
    outputs = []
    for image, values in zip(x, params, strict=True):
        y, start = image, 0
        for i, (o, c) in enumerate(spec.layers):
            count = o * c * spec.kernel_size**2
            weight = values[start : start + count].view(o, c, spec.kernel_size, spec.kernel_size)
            bias = values[start + count : start + count + o]
            start += count + o
            y = F.conv2d(y.relu() if i else y, weight, bias, padding=spec.kernel_size // 2)
        assert start == len(values)
        outputs.append(y[0])
    return torch.stack(outputs)


@pytest.mark.parametrize(
    ('k', 'context', 'options', 'params'),
    [
        (5, 16, {}, 945),
        (4, 16, {}, 909),  # corners
        (1, 16, {}, 801),  # |N| = 0
        (0, 16, {}, 765),  # context only
        (9, 16, {}, 1089),  # |N| = 8
        (5, 0, {}, 369),  # no context
        (5, 16, dict(num_layers=1), 190),
        (5, 16, dict(num_layers=2), 797),
        (5, 16, dict(num_layers=4), 1093),
        (5, 16, dict(kernel_size=1), 113),
        (3, 2, dict(kernel_size=5, channels=3), None),
    ],
)
def test_all_forms_agree(k: int, context: int, options: dict, params: int | None) -> None:
    spec = DynamicConvSpec(k + context, **options)
    assert params in (None, spec.num_params)
    n = 2 * MAX_BLOCK + 1
    maps, shared = torch.randn(7, 6, 5).double(), torch.randn(context, 6, 5).double()
    index, values = torch.randint(0, 7, (n, k)), torch.randn(n, spec.num_params).double()
    if k > 1:
        index[0, 1] = index[0, 0]  # a border cell sees itself twice
    x = torch.cat([maps[index], shared.expand(n, -1, -1, -1)], 1)
    want = one_by_one(x, values, spec)
    torch.testing.assert_close(dynamic_conv(x, values, spec), want)
    torch.testing.assert_close(dynamic_conv_of_gathered(maps, index, shared, values, spec), want)


@pytest.mark.parametrize('context', [16, 0])
def test_small_maps_are_upsampled(context: int) -> None:
    spec = DynamicConvSpec(3 + context)
    maps, shared = torch.randn(7, 6, 5).double(), torch.randn(context, 12, 10).double()
    index, values = torch.randint(0, 7, (9, 3)), torch.randn(9, spec.num_params).double()
    large = F.interpolate(maps[None], size=(12, 10), mode='bilinear')[0]
    want = dynamic_conv(torch.cat([large[index], shared.expand(9, -1, -1, -1)], 1), values, spec)
    torch.testing.assert_close(dynamic_conv_of_gathered(maps, index, shared, values, spec), want)
    with torch.enable_grad():
        torch.testing.assert_close(dynamic_conv_of_gathered(maps, index, shared, values, spec), want)


def test_gradients_agree() -> None:
    spec = DynamicConvSpec(5, channels=2)
    inputs = [torch.randn(4, 5, 6), torch.randn(2, 5, 6), torch.randn(6, spec.num_params)]
    maps, shared, params = (x.double().requires_grad_() for x in inputs)
    index = torch.randint(0, 4, (6, 3))
    index[:, 2] = index[:, 0]
    stacks = torch.cat([maps[index], shared.expand(6, -1, -1, -1)], 1)
    weight = torch.randn(6, 5, 6).double()
    want = torch.autograd.grad((dynamic_conv(stacks, params, spec) * weight).sum(), (maps, shared, params))
    ours = (dynamic_conv_of_gathered(maps, index, shared, params, spec) * weight).sum()
    for a, b in zip(torch.autograd.grad(ours, (maps, shared, params)), want, strict=True):
        torch.testing.assert_close(a, b)


def test_no_instances() -> None:
    spec = DynamicConvSpec(3)
    params = torch.zeros(0, spec.num_params)
    out = dynamic_conv_of_gathered(torch.rand(2, 4, 5), torch.zeros(0, 2).long(), torch.rand(1, 4, 5), params, spec)
    assert out.shape == (0, 4, 5)


@pytest.mark.parametrize('where', ['maps', 'shared', 'params'])
@pytest.mark.parametrize('value', [nan, inf, -inf])
@pytest.mark.parametrize(
    ('size', 'small', 'options'),
    [
        ((12, 70), (6, 35), {}),
        ((13, 31), (7, 20), {}),  # another factor than two
        ((5, 3), (5, 3), dict(kernel_size=5, channels=3)),
        ((2, 2), (1, 1), dict(num_layers=2, channels=9)),
        ((10, 12), (5, 6), dict(num_layers=1)),
        ((12, 9), (6, 9), dict(kernel_size=1)),
    ],
    ids=str,
)
def test_values_that_are_not_finite_come_out_as_plainly(where, value, size, small, options) -> None:
    """Neither swallowed by a ReLU or by a weight of zero, nor taken to other instances."""
    spec, n = DynamicConvSpec(3 + 4, **options), MAX_BLOCK + 3
    inputs = dict(
        maps=torch.randn(11, *small), shared=torch.randn(4, *size), params=0.3 * torch.randn(n, spec.num_params)
    )
    index, flat = torch.randint(0, 11, (n, 3)), inputs[where].view(-1)
    flat[torch.randint(0, len(flat), (3,))] = value
    maps, shared, params = inputs.values()
    large = maps if size == small else F.interpolate(maps[None], size=size, mode='bilinear')[0]
    want = one_by_one(torch.cat([large[index], shared.expand(n, -1, -1, -1)], 1), params, spec)
    assert not want.isfinite().all()
    assert where == 'shared' or want.isfinite().flatten(1).all(1).any()
    for backend in BACKENDS:
        with torch.no_grad():
            ours = dynamic_conv_of_gathered(maps, index, shared, params, spec, backend=backend)
        torch.testing.assert_close(ours, want, rtol=1e-4, atol=1e-4, equal_nan=True)


@torch.no_grad()
def test_nothing_gathered_is_computed_plainly_too() -> None:
    spec = DynamicConvSpec(4)
    shared, params = torch.randn(4, 5, 6), torch.randn(3, spec.num_params)
    params[1, -1] = nan
    want = one_by_one(shared.expand(3, -1, -1, -1), params, spec)
    for backend in BACKENDS:
        inputs = torch.rand(2, 3, 3), torch.zeros(3, 0).long(), shared, params
        ours = dynamic_conv_of_gathered(*inputs, spec, backend=backend)
        torch.testing.assert_close(ours, want, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_sums_that_overflow_are_no_strays() -> None:
    spec = DynamicConvSpec(1, num_layers=1, kernel_size=1)
    maps, params = torch.full((1, 2, 2), 3e38), torch.tensor([[1.0, 0.0]])
    with torch.no_grad():
        ours = dynamic_conv_of_gathered(maps, torch.zeros(1, 1).long(), torch.zeros(0, 2, 2), params, spec)
    assert torch.equal(ours, maps)


def test_no_number_on_another_device_is_waited_for() -> None:
    spec = DynamicConvSpec(3)
    maps, shared, params = (
        x.to('meta') for x in (torch.rand(2, 4, 5), torch.rand(1, 4, 5), torch.rand(3, spec.num_params))
    )
    with torch.no_grad():  # reading a number of a tensor without any is an error
        assert dynamic_conv_of_gathered(maps, torch.zeros(3, 2).long(), shared, params, spec).shape == (3, 4, 5)


def test_a_backend_that_is_unknown_or_cannot_run_is_named() -> None:
    spec = DynamicConvSpec(1)
    inputs = torch.rand(2, 4, 5), torch.zeros(1, 1).long(), torch.rand(0, 4, 5), torch.zeros(1, spec.num_params)
    with pytest.raises(ValueError, match="backend 'cuda' is not one of"):
        dynamic_conv_of_gathered(*inputs, spec, backend='cuda')
    with pytest.raises(RuntimeError, match=r'triton backend .*, but it needs tensors on CUDA, not on cpu'):
        dynamic_conv_of_gathered(*inputs, spec, backend='triton')
