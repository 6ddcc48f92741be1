"""Interpolation matrices against the definition of bilinear interpolation, and their adjoint."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmagg.ops import interpolation_matrix, upsampling_adjoint
from mmagg.ops.bilinear import taps_of_two_resizes

LENGTHS = [(1, 1), (1, 4), (3, 7), (4, 8), (7, 3), (5, 5), (2, 9)]


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('before, after', LENGTHS)
def test_rows_are_the_weights_of_two_neighbours(before: int, after: int, align_corners: bool) -> None:
    got = interpolation_matrix(before, after, align_corners=align_corners, like=torch.zeros(0).double())
    want = torch.zeros(after, before, dtype=torch.double)
    for i in range(after):
        if align_corners:  # both ends stay ends
            place = i * (before - 1) / max(after - 1, 1)
        else:  # the middles of pixels
            place = max((i + 0.5) * before / after - 0.5, 0)
        low = min(math.floor(place), before - 1)
        want[i, low] += 1 - (place - low)
        want[i, min(low + 1, before - 1)] += place - low
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    'before, between, crop, after', [(10, 40, 37, 71), (10, 40, 40, 3), (14, 4, 3, 27), (1, 4, 3, 1)]
)
def test_taps_are_the_two_resizes(before: int, between: int, crop: int, after: int) -> None:
    taps = taps_of_two_resizes(before, between, crop, after, torch.device('cpu'))
    first = interpolation_matrix(before, between, align_corners=False, like=taps.weight)[:crop]
    want = interpolation_matrix(crop, after, align_corners=False, like=taps.weight) @ first
    dense = torch.zeros(after, before)
    for row, start, weight in zip(dense, taps.start.tolist(), taps.weight, strict=True):
        row[start : start + len(weight)] = weight
    torch.testing.assert_close(dense, want)
    assert taps.length == before
    assert (taps.start.diff() >= 0).all()
    reached = [row.nonzero() for row in want]
    assert taps.weight.shape[1] == max(x.max() - x.min() + 1 for x in reached), 'no more neighbours than it takes'


@pytest.mark.parametrize('small, large', [((3, 5), (6, 9)), ((1, 1), (2, 2)), ((4, 7), (4, 13)), ((2, 1), (1, 3))])
def test_the_adjoint_moves_to_the_other_side_of_a_product(small: tuple[int, int], large: tuple[int, int]) -> None:
    x, y = torch.randn(2, 3, *large).double(), torch.randn(2, 3, *small).double()
    up = F.interpolate(y, size=large, mode='bilinear', align_corners=False)
    torch.testing.assert_close((up * x).sum(), (y * upsampling_adjoint(x, small)).sum())
    basis = torch.eye(small[0] * small[1]).double().view(-1, 1, *small)  # ... of every y
    each = (F.interpolate(basis, size=large, mode='bilinear') * x[0, 0]).sum((1, 2, 3))
    torch.testing.assert_close(upsampling_adjoint(x[0, 0], small).flatten(), each)
