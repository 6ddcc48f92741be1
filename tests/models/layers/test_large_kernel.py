"""The large kernel against one k x k convolution with the product of both branches' kernels."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.layers import LargeKernelConv


def product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(E, C, k, 1) then (D, E, 1, k), or the other way round -> (D, C, k, k)."""
    return torch.einsum('ecij,dekl->dcikjl', first, second).flatten(4, 5).flatten(2, 3)


def test_it_is_a_sum_of_separable_kernels() -> None:
    net = LargeKernelConv(in_channels=3, out_channels=4, kernel_size=5).double()
    sizes = [[conv.kernel_size for conv in branch] for branch in (net.tall_wide, net.wide_tall)]
    assert sizes == [[(5, 1), (1, 5)], [(1, 5), (5, 1)]]
    for branch in (net.tall_wide, net.wide_tall):
        torch.nn.init.zeros_(branch[0].bias)  # at the border it meets fewer weights of the second convolution
    kernel = sum(product(a.weight, b.weight) for a, b in (net.tall_wide, net.wide_tall))
    bias = net.tall_wide[1].bias + net.wide_tall[1].bias
    x = torch.randn(2, 3, 7, 9, dtype=torch.double)
    torch.testing.assert_close(net(x), F.conv2d(x, kernel, bias, padding=2))


def test_initialisation_and_size() -> None:
    net = LargeKernelConv(in_channels=256, out_channels=60)
    net.init_weights()
    assert sum(p.numel() for p in net.parameters()) == 2 * (9 * 256 * 60 + 60 + 9 * 60 * 60 + 60)
    for conv in (*net.tall_wide, *net.wide_tall):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not conv.bias.any()


@pytest.mark.parametrize('size', [(1, 1), (2, 3), (20, 1)])
def test_maps_smaller_than_the_kernel(size) -> None:
    assert LargeKernelConv(in_channels=3, out_channels=4)(torch.randn(2, 3, *size)).shape == (2, 4, *size)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match='must be odd'):
        LargeKernelConv(in_channels=3, out_channels=4, kernel_size=8)
