"""The contract of masks on demand: laziness, resizing after the sigmoid, and maps as a matrix product."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmagg.models.masks import LocalMasks
from mmagg.models.masks.grid.local_masks import Lazy, project, some_outputs


class GivenMasks(LocalMasks):
    """Masks of one image that are there already."""

    stride = 8

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits, self.size = logits, tuple(logits.shape[1:])

    def at(self, image: int, cells: torch.Tensor) -> torch.Tensor:
        return self.logits[cells]


def test_a_lazy_tensor_is_computed_once_and_only_if_read() -> None:
    calls = []
    lazy = Lazy(lambda: calls.append(1) or torch.ones(2))
    assert not calls
    assert lazy.value is lazy.value
    assert len(calls) == 1


def test_probabilities_are_resized_after_the_sigmoid() -> None:
    masks, cells = GivenMasks(5 * torch.randn(6, 3, 4).double()), torch.tensor([4, 0, 4])
    probs = masks.probs_at(0, cells, (7, 9))
    for got, cell in zip(probs, cells.tolist(), strict=True):
        want = F.interpolate(masks.logits[cell, None, None].sigmoid(), size=(7, 9), mode='bilinear')[0, 0]
        torch.testing.assert_close(got, want)
    assert torch.equal(masks.probs_at(0, cells, (3, 4)), masks.at(0, cells).sigmoid())
    assert torch.equal(masks.small_at(0, cells), masks.at(0, cells)), 'nothing is upsampled unless a kind says so'
    assert masks.probs_at(0, cells[:0], (7, 9)).shape == (0, 7, 9)


def test_without_features_there_are_none_to_share() -> None:
    masks = GivenMasks(torch.zeros(1, 3, 4))
    assert masks.mask_features is masks.kernel_features is None


@pytest.mark.parametrize('number', [0, 1, 5])
@pytest.mark.parametrize('bias', [False, True])
def test_projection_is_a_1x1_convolution(number: int, bias: bool) -> None:
    features, weight = torch.randn(3, 4, 5).double(), torch.randn(number, 3).double()
    added = torch.randn(number).double() if bias else None
    got = project(features, weight, added)
    assert got.shape == (number, 4, 5)
    for n in range(number):
        want = sum(weight[n, c] * features[c] for c in range(3)) + (added[n] if bias else 0)
        torch.testing.assert_close(got[n], want)


@pytest.mark.parametrize('bias', [True, False])
def test_some_output_channels_of_a_convolution(bias: bool) -> None:
    conv, x, index = nn.Conv2d(3, 6, 3, bias=bias), torch.randn(1, 3, 5, 4), torch.tensor([4, 0, 4])
    torch.testing.assert_close(F.conv2d(x, *some_outputs(conv, index)), conv(x)[:, index])
