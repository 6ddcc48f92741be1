"""A convolution at a few places against the same convolution everywhere."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import conv_at, conv_on_levels


@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_equals_the_convolution_at_these_places(kernel_size: int) -> None:
    x = torch.randn(2, 3, 4, 6).double().requires_grad_()
    weight = torch.randn(7, 3, kernel_size, kernel_size).double().requires_grad_()
    bias = torch.randn(7).double()
    places = torch.tensor([0, 23, 7, 7, 5, 18, 24, 33])  # corners, a repeated one, the inside; two of the second image
    want = F.conv2d(x, weight, bias, padding=kernel_size // 2).permute(0, 2, 3, 1).flatten(0, 2)[places]
    ours = conv_at(x, places, weight, bias)
    torch.testing.assert_close(ours, want)
    factor = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad((ours * factor).sum(), (x, weight)),
        torch.autograd.grad((want * factor).sum(), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_nowhere() -> None:
    out = conv_at(torch.rand(2, 3, 4, 6), torch.zeros(0).long(), torch.rand(7, 3, 3, 3), torch.rand(7))
    assert out.shape == (0, 7)


def test_levels_are_counted_one_after_another() -> None:
    levels = [torch.randn(2, 3, *size, requires_grad=True) for size in ((4, 6), (2, 3), (1, 1))]
    weight, bias = torch.randn(7, 3, 3, 3), torch.randn(7)
    maps = [F.conv2d(x, weight, bias, padding=1) for x in levels]
    want = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps])
    for places in ([0, 5, 5, 23, 24, 47, 48, 59, 60, 61], [3, 61], [50], []):
        index = torch.tensor(places, dtype=torch.long)
        found = conv_on_levels(levels, index, weight, bias)
        torch.testing.assert_close(found, want[index], rtol=1e-5, atol=1e-5)
        assert all(x is not None for x in torch.autograd.grad(found.sum(), levels, retain_graph=True))
