"""Layers of dynamic convolutions as an operator, in its plain form; `test_dynamic_conv_triton` has the kernel."""

from math import nan

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_layers, dynamic_conv_of_gathered

N, SIZE = 4, (6, 5)


def inputs(spec: DynamicConvSpec, k: int, small: tuple[int, int] = SIZE) -> list[torch.Tensor]:
    shared, params = torch.randn(spec.in_channels - k, *SIZE), 0.3 * torch.randn(N, spec.num_params)
    return [torch.randn(7, *small), torch.randint(0, 7, (N, k)), shared, params]


@pytest.mark.parametrize(
    ('k', 'shared', 'options'),
    [
        (3, 2, {}),
        (0, 2, {}),
        (2, 0, dict(num_layers=4)),
        (1, 2, dict(num_layers=1)),
        (2, 1, dict(kernel_size=5, channels=3)),
    ],
    ids=str,
)
def test_layers_are_the_plain_form(k: int, shared: int, options: dict) -> None:
    spec = DynamicConvSpec(k + shared, **options)
    maps, index, context, params = inputs(spec, k)
    x = torch.cat([maps[index], context.expand(N, -1, -1, -1)], 1)
    ours = dynamic_conv_layers.dynamic_conv_of_gathered(maps, index, context, params, spec)
    torch.testing.assert_close(ours, dynamic_conv(x, params, spec), rtol=1e-5, atol=1e-5)


def test_small_maps_are_upsampled_and_results_are_as_precise_as_parameters() -> None:
    spec = DynamicConvSpec(3)
    maps, index, shared, params = inputs(spec, 2, small=(3, 3))
    large = F.interpolate(maps[None], size=SIZE, mode='bilinear')[0]
    want = dynamic_conv(torch.cat([large[index], shared.expand(N, -1, -1, -1)], 1), params, spec)
    ours = dynamic_conv_layers.dynamic_conv_of_gathered(maps, index, shared.half(), params.half(), spec)
    assert ours.dtype == torch.float16
    torch.testing.assert_close(ours.float(), want, rtol=0.05, atol=0.05)


def test_a_value_that_is_not_finite_stays_in_its_instance() -> None:
    spec = DynamicConvSpec(3)
    maps, _, shared, params = inputs(spec, 2)
    maps[5, 0, 0] = nan
    index = torch.tensor([[0, 1], [5, 2], [2, 3], [1, 1]])
    ours = dynamic_conv_layers.dynamic_conv_of_gathered(maps, index, shared, params, spec)
    assert ours.isfinite().flatten(1).all(1).tolist() == [True, False, True, True]


def test_the_operator_knows_its_shapes() -> None:
    spec = DynamicConvSpec(3)
    maps, index, shared, params = inputs(spec, 2)
    torch.library.opcheck(
        torch.ops.mmagg.dynamic_conv_layer,
        (maps, index, shared, params, 0, 4, 3, True),
        test_utils=('test_schema', 'test_faketensor'),
    )


def test_why_a_backend_cannot_run() -> None:
    x = torch.zeros(1)
    assert dynamic_conv_layers.problem(x) == 'it needs tensors on CUDA, not on cpu'
    assert 'float64' in dynamic_conv_layers.problem(x, x.double())
    with torch.enable_grad():
        assert 'no gradients' in dynamic_conv_layers.problem(x.requires_grad_())


@pytest.mark.gpu
@torch.no_grad()
def test_a_gpu_takes_them_by_itself() -> None:
    spec = DynamicConvSpec(3)
    maps, index, shared, params = (x.cuda() if x.is_floating_point() else x for x in inputs(spec, 2))
    ours = dynamic_conv_of_gathered(maps, index, shared, params, spec)
    assert torch.equal(ours, dynamic_conv_layers.dynamic_conv_of_gathered(maps, index, shared, params, spec))
