"""Bottom-up fusions against A2-FPN's Eqs. 9 and 11 to 13, one output pixel after the other."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmagg.models.layers import GACAP, CAPFusion, StridedConvFusion

SIZES = [(6, 8), (5, 7), (1, 1), (2, 3)]


def reassembled_down(fine: Tensor, kernels: Tensor, k: int) -> Tensor:
    """Eq. 12: each coarse pixel, with the kernel of its own, from the k x k neighbours of every other fine pixel."""
    padded, (height, width) = F.pad(fine, (k // 2,) * 4), kernels.shape[2:]
    out = fine.new_zeros(*fine.shape[:2], height, width)
    for y in range(height):
        for x in range(width):
            patch = padded[:, :, 2 * y : 2 * y + k, 2 * x : 2 * x + k]
            out[:, :, y, x] = (patch * kernels[:, :, y, x].view(-1, 1, k, k)).sum((2, 3))
    return out


def levels(size: tuple[int, int], channels: int = 3) -> tuple[Tensor, Tensor]:
    half = [-(-side // 2) for side in size]
    return torch.randn(2, channels, *half).double(), torch.randn(2, channels, *size).double()


def randomly(module: nn.Module) -> nn.Module:
    for p in module.parameters():
        nn.init.normal_(p, std=0.5)
    return module.double()


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
def test_with_global_attention_it_is_the_paper_s(size: tuple[int, int]) -> None:
    net, (coarse, fine) = randomly(GACAP(channels=3, reduced_channels=4, kernel_size=3, gate_channels=5)), levels(size)
    large = F.interpolate(coarse, size=size, mode='bilinear')
    first_fine = torch.cat([fine, large], 1)
    attention = net.encoder.mask(first_fine).flatten(1).softmax(1).view(2, 1, *size)
    statistic = (torch.cat([fine, large], 1) * attention).sum((2, 3), keepdim=True)
    of_coarse, of_fine = net.gate(statistic)
    small = reassembled_down(fine, net.predictor(net.encoder.reduce(first_fine)), 3)
    torch.testing.assert_close(net(coarse, fine), of_coarse * coarse + of_fine * small)


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
def test_without_it_the_fine_level_decides_and_is_added(size: tuple[int, int]) -> None:
    net, (coarse, fine) = randomly(CAPFusion(channels=3, reduced_channels=4, kernel_size=3)), levels(size)
    kernels = net.predictor.kernels(net.reduce(fine)).softmax(1)
    torch.testing.assert_close(net(coarse, fine), coarse + reassembled_down(fine, kernels, 3))


def test_uniform_kernels_are_means() -> None:
    """Of 5 x 5 pixels, with zeros beyond the border (A2-FPN, Table 3)."""
    net, (coarse, fine) = CAPFusion(channels=4).double(), levels((6, 7), channels=4)
    nn.init.zeros_(net.predictor.kernels.weight)
    nn.init.zeros_(net.predictor.kernels.bias)
    torch.testing.assert_close(net(coarse, fine), coarse + F.avg_pool2d(fine, 5, stride=2, padding=2))


@pytest.mark.parametrize('size', SIZES)
def test_pafpn_s_is_a_strided_convolution(size: tuple[int, int]) -> None:
    net, (coarse, fine) = StridedConvFusion(channels=3).double(), levels(size)
    everywhere = F.conv2d(fine, net.conv.weight, net.conv.bias, padding=1)
    torch.testing.assert_close(net(coarse, fine), coarse + everywhere[:, :, ::2, ::2])
