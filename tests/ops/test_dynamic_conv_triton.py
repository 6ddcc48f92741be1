"""The Triton kernel of a layer of dynamic convolutions: in Triton's interpreter, and on a GPU.

The interpreter has to be chosen before Triton is imported, so a process of its own runs this file with
TRITON_INTERPRET=1. `test_dynamic_conv_kernels` compiles the kernel.
"""

import os
import subprocess
import sys
from math import inf, nan

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('triton', minversion='3.4')
from mmagg.ops import DynamicConvSpec, dynamic_conv, dynamic_conv_of_gathered, dynamic_conv_triton

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = 'cpu' if INTERPRETED else 'cuda'
# Triton's interpreter cuts bfloat16 off instead of rounding it.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}


NET = dict(channels=2, num_layers=2)


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes a second for a program of as many rows as a GPU's threads have."""
    if INTERPRETED:
        monkeypatch.setattr(dynamic_conv_triton, 'ROWS', 2)


def inputs(
    spec: DynamicConvSpec, k: int, size: tuple[int, int], small: tuple[int, int] | None = None, n: int = 3
) -> list:
    """Maps, indices of which some repeat, shared maps, and parameters."""
    shapes = (4, *(small or size)), (spec.in_channels - k, *size), (n, spec.num_params)
    maps, shared, params = (torch.randn(shape, device=DEVICE) for shape in shapes)
    index = torch.randint(0, 4, (n, k))
    index[:, -1:] = index[:, :1]
    return [maps, index, shared, 0.3 * params]


def plain(maps: torch.Tensor, index: torch.Tensor, shared: torch.Tensor, params: torch.Tensor, spec) -> torch.Tensor:
    maps, shared, params = maps.float(), shared.float(), params.float()
    if index.shape[1] and maps.shape[1:] != shared.shape[1:]:
        maps = F.interpolate(maps[None], size=shared.shape[1:], mode='bilinear')[0]
    own = maps[index.to(DEVICE)] if index.shape[1] else shared.new_zeros(len(index), 0, *shared.shape[1:])
    return dynamic_conv(torch.cat([own, shared.expand(len(index), -1, -1, -1)], 1), params, spec)


@torch.no_grad()
def check(given: list, spec: DynamicConvSpec, tolerance: float = 1e-5, **options) -> torch.Tensor:
    ours = dynamic_conv_of_gathered(*given, spec, backend='triton')
    assert ours.dtype == given[-1].dtype
    torch.testing.assert_close(ours.float(), plain(*given, spec), rtol=tolerance, atol=tolerance, **options)
    return ours


class TestOnDevice:
    """On a GPU or in the interpreter."""

    pytestmark = [] if INTERPRETED else [pytest.mark.gpu]

    @pytest.mark.parametrize(
        ('k', 'shared', 'size', 'options'),
        [
            (1, 1, (9, 33), dict(channels=1, num_layers=2)),  # several tiles
            (2, 0, (1, 1), dict(channels=3)),
            (0, 3, (4, 5), NET),
            (1, 1, (3, 7), dict(channels=1, kernel_size=5, num_layers=2)),
            (1, 1, (9, 4), dict(num_layers=1)),
            (2, 1, (2, 3), dict(channels=9, kernel_size=1)),
        ],
        ids=str,
    )
    def test_equals_the_plain_form(self, k: int, shared: int, size: tuple[int, int], options: dict) -> None:
        spec = DynamicConvSpec(k + shared, **options)
        check(inputs(spec, k, size), spec)

    def test_threads_of_many_rows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dynamic_conv_triton, 'ROWS', 8)
        spec = DynamicConvSpec(2, num_layers=1)
        check(inputs(spec, 1, (41, 3), n=1), spec)

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_16_bits(self, dtype: torch.dtype) -> None:
        spec = DynamicConvSpec(3, **NET)
        given = inputs(spec, 2, (5, 7))
        check([x.to(dtype) if x.is_floating_point() else x for x in given], spec, TOLERANCE[dtype])

    def test_small_maps_are_upsampled(self) -> None:
        spec = DynamicConvSpec(3, **NET)
        check(inputs(spec, 2, (6, 10), small=(3, 5)), spec)

    def test_maps_that_lie_strangely(self) -> None:
        spec = DynamicConvSpec(3, **NET)
        maps, index, shared, params = inputs(spec, 1, (5, 6))
        maps, shared = (x.permute(1, 2, 0).contiguous().permute(2, 0, 1) for x in (maps, shared))
        check([maps, index, shared, params.t().contiguous().t()], spec)
        check([maps, index, shared, params[:1].expand(3, -1)], spec)

    @pytest.mark.parametrize('value', [nan, inf])
    def test_values_that_are_not_finite_stay_in_their_instance(self, value: float) -> None:
        spec = DynamicConvSpec(3, **NET)
        given = inputs(spec, 2, (5, 6))
        given[1] = torch.tensor([[0, 1], [2, 3], [2, 0]])
        given[0][3, 2, 2] = value
        want = plain(*given, spec)
        assert want.isfinite().flatten(1).all(1).tolist() == [True, False, True]
        check(given, spec, equal_nan=True)

    def test_offsets_of_64_bits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dynamic_conv_triton, 'LARGEST', 0)
        spec = DynamicConvSpec(3, **NET)
        check(inputs(spec, 2, (5, 6)), spec)

    def test_what_has_gradients_is_refused(self) -> None:
        spec = DynamicConvSpec(2)
        *given, params = inputs(spec, 1, (2, 2))
        with pytest.raises(RuntimeError, match=r'triton backend was asked for .* no gradients'):
            dynamic_conv_of_gathered(*given, params.requires_grad_(), spec, backend='triton')


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', TOLERANCE)
@torch.no_grad()
def test_larger(dtype: torch.dtype) -> None:
    """At a size that the interpreter cannot reach, and by itself: no backend is named."""
    spec = DynamicConvSpec(21)
    given = [x.to(dtype) if x.is_floating_point() else x for x in inputs(spec, 5, (200, 336), small=(100, 168), n=40)]
    ours = dynamic_conv_of_gathered(*given, spec)
    scale = float(ours.float().abs().max())
    torch.testing.assert_close(ours.float(), plain(*given, spec), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)
    assert torch.equal(ours, dynamic_conv_of_gathered(*given, spec, backend='triton'))


@pytest.mark.skipif(INTERPRETED, reason='already there')
def test_in_the_interpreter() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-x', '-p', 'no:cacheprovider', __file__],
        env=os.environ | {'TRITON_INTERPRET': '1', 'MMAGG_DYNAMIC_CONV': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert 'passed' in done.stdout
