"""Content-aware reassembly against its definition written out pixel by pixel, and against convolutions."""

import pytest
import torch
import torch.nn.functional as F
from reassembly_cases import CASES, DOWN, LAYOUTS, UP, agrees, inputs, naive, reassemble
from torch import Tensor

from mmagg.ops import reassemble_down, reassembly_choice

# The definition


@pytest.mark.parametrize('case', CASES, ids=str)
@pytest.mark.parametrize('layout', LAYOUTS)
def test_equals_the_definition(case: tuple, layout: str) -> None:
    x, kernels = inputs(*case)
    x = x.detach().contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    agrees(x, kernels, *case[:3])


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_gradients_by_finite_differences(steps: tuple[int, int]) -> None:
    x, kernels = inputs(3, steps, 2, (2, 3), channels=2, batch=1)
    assert torch.autograd.gradcheck(lambda x, kernels: reassemble(x, kernels, steps, 2), (x, kernels))


def test_odd_sizes() -> None:
    x, kernels = inputs(5, DOWN, 1, (33, 65), channels=1, batch=1)
    agrees(x, kernels, 5, DOWN, 1)
    assert reassemble_down(torch.zeros(1, 2, 25, 42), torch.zeros(1, 25, 13, 21)).shape == (1, 2, 13, 21)


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_the_same_kernel_everywhere_is_a_convolution(stride: int) -> None:
    x, weight = torch.randn(2, 3, 8, 7), torch.randn(5, 5)
    want = F.conv2d(x, weight.expand(3, 1, 5, 5), stride=stride, padding=2, groups=3)
    kernels = weight.reshape(1, 25, 1, 1).expand(2, 25, *want.shape[2:])
    torch.testing.assert_close(reassemble_down(x, kernels, stride=stride), want)


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_strange_memory(steps: tuple[int, int]) -> None:
    """Views, transposed maps, expanded gradients."""
    x, kernels = torch.randn(4, 7, 2, 8).permute(2, 0, 3, 1)[:, ::2, 1:6], torch.randn(2, 5, 7, 40)
    kernels = kernels[..., : 9 * steps[1] ** 2].permute(0, 3, 1, 2)
    grid = tuple(-(-n // steps[0]) for n in x.shape[2:])
    x, kernels = x.requires_grad_(), kernels[:, :, : grid[0], : grid[1]].requires_grad_()
    out = reassemble(x, kernels, steps, 1)
    want = naive(x, kernels, 3, steps, 1)
    torch.testing.assert_close(out, want.float())
    for ours, theirs in zip(
        torch.autograd.grad(out.sum(), (x, kernels)), torch.autograd.grad(want.sum(), (x, kernels)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('shape', [(0, 4, 6, 5), (2, 0, 6, 5), (2, 4, 0, 5), (2, 4, 6, 0)])
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_nothing(shape: tuple[int, ...], steps: tuple[int, int]) -> None:
    batch, channels, *size = shape
    x, kernels = inputs(3, steps, 1, size, channels=channels, batch=batch)
    out = reassemble(x, kernels, steps, 1)
    assert out.shape == (batch, channels, *(steps[1] * n for n in kernels.shape[2:]))
    for grad in torch.autograd.grad(out.sum(), (x, kernels)):
        assert not grad.any()


# Types and layouts


@pytest.mark.parametrize('steps', [UP, DOWN])
@pytest.mark.parametrize(
    ('dtypes', 'tolerance'),
    [
        ((torch.float32, torch.float32), 1e-5),
        ((torch.float16, torch.float16), 1e-3),
        ((torch.bfloat16, torch.bfloat16), 8e-3),
        ((torch.bfloat16, torch.float32), 8e-3),
        ((torch.float32, torch.float16), 1e-3),
        ((torch.float32, torch.float64), 1e-6),
    ],
)
def test_dtypes(dtypes: tuple[torch.dtype, torch.dtype], tolerance: float, steps: tuple[int, int]) -> None:
    x, kernels = inputs(5, steps, 2, (5, 6))
    x, kernels = (t.detach().to(d).requires_grad_() for t, d in zip((x, kernels), dtypes, strict=True))
    agrees(x, kernels, 5, steps, 2, rtol=tolerance, atol=tolerance, check_dtype=False)


def test_sums_are_float32() -> None:
    """In float16, adding 1 to 2048 changes nothing."""
    x = torch.ones(1, 1, 7, 7, dtype=torch.float16)
    x[0, 0, 1, 1] = 2048
    kernels = torch.ones(1, 25, 7, 7, dtype=torch.float16)
    assert reassemble_down(x, kernels, stride=1)[0, 0, 3, 3] == 2048 + 24


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_layout_is_kept(steps: tuple[int, int]) -> None:
    x, kernels = inputs(3, steps, 1, (5, 6))
    for memory_format in LAYOUTS.values():
        x = x.detach().contiguous(memory_format=memory_format).requires_grad_()
        out = reassemble(x, kernels, steps, 1)
        (grad,) = torch.autograd.grad(out.square().sum(), x)
        assert out.is_contiguous(memory_format=memory_format)
        assert grad.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_under_autocast(steps: tuple[int, int]) -> None:
    """Features and kernels as convolutions and a softmax leave them; gradients reach the weights."""
    images = torch.randn(1, 3, 6, 5)
    scale, stride = steps[1], steps[0]
    features = torch.nn.Conv2d(3, 4, 1)
    predictor = torch.nn.Conv2d(3, 9 * scale**2, 3, stride=stride, padding=1)

    def run(enabled: bool) -> tuple[Tensor, ...]:
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            kernels = predictor(images).unflatten(1, (9, -1)).float().softmax(1).flatten(1, 2)
            out = reassemble(features(images), kernels, steps, 1)
        assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
        return out, *torch.autograd.grad(out.float().square().sum(), (features.weight, predictor.weight))

    for ours, theirs in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05, check_dtype=False)


# Memory


@pytest.mark.parametrize('steps', [UP, DOWN])
def test_keeps_its_inputs_only(steps: tuple[int, int]) -> None:
    def saved(x: Tensor, kernels: Tensor) -> set[int]:
        kept = set()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.add(t.data_ptr()), lambda _: None):
            reassemble(x, kernels, steps, 1)
        return kept

    x, kernels = inputs(3, steps, 1, (4, 4))
    assert saved(x, kernels) == {x.data_ptr(), kernels.data_ptr()}
    assert saved(x.detach(), kernels) == {x.data_ptr()}
    assert saved(x, kernels.detach()) == {kernels.data_ptr()}


# On CUDA


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ['mmcv', 'torch'])
@pytest.mark.parametrize('steps', [UP, DOWN])
def test_on_cuda(backend: str, steps: tuple[int, int]) -> None:
    device = torch.device('cuda')
    reason = reassembly_choice.objection(backend, device, torch.float32, 0)
    if reason:
        pytest.skip(reason)
    x, kernels = inputs(5, steps, 2, (9, 10), channels=64, dtype=torch.float32, device=device)
    agrees(x, kernels, 5, steps, 2, backend, rtol=1e-4, atol=1e-4, check_dtype=False)
