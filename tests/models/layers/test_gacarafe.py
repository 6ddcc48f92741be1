"""Top-down fusions against A2-FPN's Eqs. 7 to 10, one output pixel after the other."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmagg.models.layers import GACARAFE, CARAFEFusion, NearestFusion

SIZES = [(6, 8), (5, 7), (1, 1), (2, 3)]


def reassembled_up(coarse: Tensor, kernels: Tensor, k: int, size: tuple[int, int]) -> Tensor:
    """Eq. 8: each fine pixel, with the kernel of its own, from the k x k neighbours of the coarse pixel below it."""
    padded, kernels = F.pad(coarse, (k // 2,) * 4), F.pixel_shuffle(kernels, 2)
    out = coarse.new_zeros(*coarse.shape[:2], *size)
    for y in range(size[0]):
        for x in range(size[1]):
            patch = padded[:, :, y // 2 : y // 2 + k, x // 2 : x // 2 + k]
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
    net, (coarse, fine) = (
        randomly(GACARAFE(channels=3, reduced_channels=4, kernel_size=3, gate_channels=5)),
        levels(size),
    )
    pair = torch.cat([coarse, F.max_pool2d(fine, 2, ceil_mode=True)], 1)
    attention = net.encoder.mask(pair).flatten(1).softmax(1).view(2, 1, *coarse.shape[2:])
    weights = net.gate((pair * attention).sum((2, 3), keepdim=True))
    large = reassembled_up(coarse, net.predictor(net.encoder.reduce(pair)), 3, size)
    torch.testing.assert_close(net(coarse, fine), weights[0] * large + weights[1] * fine)


@torch.no_grad()
@pytest.mark.parametrize('size', SIZES)
def test_without_it_the_coarse_level_decides_and_is_added(size: tuple[int, int]) -> None:
    net, (coarse, fine) = randomly(CARAFEFusion(channels=3, reduced_channels=4, kernel_size=3)), levels(size)
    kernels = net.predictor.kernels(net.reduce(coarse)).unflatten(1, (9, 4)).softmax(1).flatten(1, 2)
    torch.testing.assert_close(net(coarse, fine), fine + reassembled_up(coarse, kernels, 3, size))


def test_uniform_kernels_are_means() -> None:
    """Of 5 x 5 pixels, with zeros beyond the border (A2-FPN, Table 3)."""
    net, (coarse, fine) = CARAFEFusion(channels=4).double(), levels((6, 7), channels=4)
    nn.init.zeros_(net.predictor.kernels.weight)
    nn.init.zeros_(net.predictor.kernels.bias)
    mean = F.avg_pool2d(coarse, 5, stride=1, padding=2)
    large = mean.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :6, :7]
    torch.testing.assert_close(net(coarse, fine), fine + large)


@pytest.mark.parametrize('size', SIZES)
def test_nearest_repeats_pixels(size: tuple[int, int]) -> None:
    coarse, fine = levels(size)
    rows, columns = (torch.arange(n) * m // n for n, m in zip(size, coarse.shape[2:], strict=True))
    assert torch.equal(NearestFusion()(coarse, fine), fine + coarse[:, :, rows][:, :, :, columns])
