"""Reassembly kernels and the pair that they are predicted from, against A2-FPN's Eqs. 7, 9 and 11."""

import pytest
import torch
import torch.nn.functional as F

from mmagg.models.layers import KernelPredictor, PairEncoder


def test_halves_are_the_convolutions_of_the_pair() -> None:
    encoder = PairEncoder(channels=3, reduced_channels=5).double()
    first, second = torch.randn(2, 2, 3, 4, 7).double()
    features, mask = encoder.split(sum(encoder.halves(first, second)))
    pair = torch.cat([first, second], 1)
    torch.testing.assert_close(features, encoder.reduce(pair))
    logits = encoder.mask(pair)
    for image in range(2):  # a softmax over the pixels of an image
        torch.testing.assert_close(mask[image], logits[image].exp() / logits[image].exp().sum())


@pytest.mark.parametrize('scale, stride', [(2, 1), (1, 2)])
def test_kernels_sum_to_one_at_every_pixel(scale, stride):
    """Eq. 7: pixel shuffle, then a softmax over the taps."""
    predictor = KernelPredictor(in_channels=4, kernel_size=3, scale=scale, stride=stride)
    features = torch.randn(2, 4, 6, 8)
    logits = predictor.kernels(predictor.relu(predictor.blend(features)))
    want = F.pixel_shuffle(logits, scale).softmax(dim=1)
    torch.testing.assert_close(F.pixel_shuffle(predictor(features), scale), want)


@pytest.mark.parametrize('blend', [True, False])
@pytest.mark.parametrize('scale, stride, size', [(2, 1, (5, 7)), (1, 2, (3, 4)), (1, 3, (2, 3))])
def test_sizes_and_gradients(blend: bool, scale: int, stride: int, size: tuple[int, int]) -> None:
    predictor = KernelPredictor(in_channels=4, kernel_size=5, scale=scale, stride=stride, blend=blend)
    kernels = predictor(torch.randn(2, 4, 5, 7))
    assert kernels.shape == (2, 25 * scale**2, *size)
    torch.testing.assert_close(kernels.unflatten(1, (25, -1)).sum(1), torch.ones(2, scale**2, *size))
    (kernels * torch.randn_like(kernels)).sum().backward()
    assert all(p.grad.any() for p in predictor.parameters())
    assert len(list(predictor.parameters())) == 2 + 2 * blend


def test_taps_start_nearly_equal() -> None:
    predictor = KernelPredictor(in_channels=64)
    predictor.init_weights()
    torch.nn.init.zeros_(predictor.kernels.bias)
    assert predictor.kernels.weight.std().item() == pytest.approx(0.001, rel=0.05)
    torch.testing.assert_close(predictor(torch.randn(1, 64, 6, 6)), torch.full((1, 25, 6, 6), 1 / 25), rtol=0.2, atol=0)


def test_a_kernel_needs_a_centre() -> None:
    with pytest.raises(ValueError, match='kernel_size=4'):
        KernelPredictor(kernel_size=4)
