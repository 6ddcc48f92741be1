"""The fused steps against their formulas: PyTorch's operators, and Triton's kernels on a GPU or in its interpreter.

`test_fused_triton` runs this file in the interpreter.
"""

import os
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import channel_weights, in_few_launches, unit_vectors, weigh_and_add_

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
FORMS = ['torch', pytest.param('triton', marks=[] if INTERPRETED else pytest.mark.gpu)]
DTYPES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
on_every_form = pytest.mark.parametrize('form', FORMS)


@pytest.fixture(autouse=True)
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    form = getattr(request.node, 'callspec', SimpleNamespace(params={})).params.get('form', 'torch')
    monkeypatch.setenv('MMAGG_REASSEMBLY', form)
    torch.manual_seed(0)


def place(form: str) -> str:
    return 'cuda' if form == 'triton' and not INTERPRETED else 'cpu'


@on_every_form
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('transposed', [False, True])
def test_vectors_have_the_length_asked_for(form: str, dtype: torch.dtype, transposed: bool) -> None:
    x = torch.randn(2, 19, 37, device=place(form)).to(dtype)
    x = x.transpose(1, 2) if transposed else x[..., :33]
    x[1, 3] = 0
    got = unit_vectors(x, scale=3.0)
    want = 3 * x.double() / (x.double().square().sum(2, keepdim=True) + 1e-6).sqrt()
    assert got.dtype == dtype
    assert got.is_contiguous()
    torch.testing.assert_close(got.double(), want, rtol=DTYPES[dtype], atol=DTYPES[dtype])


@on_every_form
def test_vectors_longer_than_a_tile(form: str) -> None:
    x = torch.randn(1, 300, 3, device=place(form)).transpose(1, 2)
    torch.testing.assert_close(unit_vectors(x).norm(dim=2), torch.ones(1, 3, device=x.device))


@on_every_form
@pytest.mark.parametrize('hidden', [4, 6])
@pytest.mark.parametrize('dtype', DTYPES)
def test_the_gate_is_two_layers_and_a_sigmoid(form: str, hidden: int, dtype: torch.dtype) -> None:
    squeeze, norm, excite = (
        tuple(torch.randn(shape, device=place(form)) for shape in shapes)
        for shapes in (((hidden, 70), hidden), (hidden, hidden), ((70, hidden), 70))
    )
    first, second = torch.randn(2, 3, 35, device=place(form)).to(dtype)
    got = channel_weights(first, second, squeeze, norm, excite, eps=1e-3, gain=1.5)
    x = F.linear(torch.cat([first, second], 1).float(), *squeeze)
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-3).sqrt() * norm[0] + norm[1]
    want = 1.5 / (1 + (-F.linear(x.clamp(min=0), *excite)).exp())
    for ours, theirs in zip(got, (want[:, :35], want[:, 35:]), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), theirs, rtol=DTYPES[dtype], atol=DTYPES[dtype])


@on_every_form
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('layouts', [(torch.contiguous_format,) * 2, (torch.channels_last,) * 2,
                                     (torch.contiguous_format, torch.channels_last)])  # fmt: skip
@pytest.mark.parametrize('cut', [False, True])
def test_maps_are_weighed_in_place(form: str, dtype: torch.dtype, layouts: tuple, cut: bool) -> None:
    x, other = (torch.randn(2, 40, 6, 8, device=place(form)).to(dtype) for _ in range(2))
    whole = x = x.contiguous(memory_format=layouts[0])
    x, other = (x[:, :, :5, :7], other[:, :, :5, :7]) if cut else (x, other)
    other = other.contiguous(memory_format=layouts[1])
    first, second = torch.rand(2, 80, device=place(form)).to(dtype).chunk(2, dim=1)
    before = whole.clone()
    want = first[..., None, None].double() * x.double() + second[..., None, None].double() * other.double()
    assert weigh_and_add_(x, first, other, second) is x
    torch.testing.assert_close(x.double(), want, rtol=DTYPES[dtype], atol=DTYPES[dtype])
    assert not cut or torch.equal(whole[:, :, 5], before[:, :, 5])


@on_every_form
def test_offsets_of_64_bits(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == 'triton':
        from mmagg.ops import fused_triton

        monkeypatch.setattr(fused_triton, 'LARGEST', 0)
    test_maps_are_weighed_in_place(form, torch.float32, (torch.contiguous_format,) * 2, False)


def test_nothing_is_fused_on_the_cpu_or_where_gradients_are_needed() -> None:
    x = torch.ones(1)
    assert not in_few_launches(x)
    there = SimpleNamespace(is_cuda=True)
    assert not in_few_launches(there)
    with torch.no_grad():
        assert in_few_launches(there)
        assert not in_few_launches(x)


@pytest.mark.parametrize('name', ['unit_vectors', 'channel_weights', 'weigh_and_add_'])
def test_operators_keep_their_word(name: str) -> None:
    """What they change and return, also of shapes alone."""
    maps, rows = torch.randn(2, 2, 3, 4, 5), torch.rand(2, 2, 3)
    arguments: dict[str, tuple] = {
        'unit_vectors': (torch.randn(2, 4, 3).transpose(1, 2), 2.0),
        'channel_weights': (*rows, torch.randn(4, 6), *torch.randn(3, 4), torch.randn(6, 4), torch.randn(6), 1e-5, 2.0),
        'weigh_and_add_': (maps[0], rows[0], maps[1], rows[1]),
    }
    torch.library.opcheck(
        getattr(torch.ops.mmagg, name).default, arguments[name], test_utils=('test_schema', 'test_faketensor')
    )


def test_no_images() -> None:
    assert unit_vectors(torch.zeros(0, 2, 3)).shape == (0, 2, 3)
    gate = [torch.zeros(4, 6), torch.zeros(4)], [torch.ones(4)] * 2, [torch.zeros(6, 4), torch.zeros(6)]
    assert channel_weights(torch.zeros(0, 3), torch.zeros(0, 3), *gate, eps=1e-5, gain=1.0)[0].shape == (0, 3)
