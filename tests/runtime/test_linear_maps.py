"""Interpolation as matrices against PyTorch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmagg.ops.bilinear import taps_of_two_resizes
from mmagg.runtime.linear_maps import BLOCK, above, sampling, two_resizes


@pytest.mark.parametrize('seed', range(3))
def test_two_resizes_are_those_of_torch(seed: int) -> None:
    """To the bit, but for a rounding in few; sizes are those of maps, networks' inputs and images."""
    rng = np.random.default_rng(seed)
    equal = 0
    for _ in range(60):
        before, after = (int(rng.integers(1, most)) for most in (310, 1700))
        crop = int(rng.integers(max(1, 4 * before - 31), 4 * before + 1))
        want = taps_of_two_resizes(before, 4 * before, crop, after, torch.device('cpu'))
        found = two_resizes(before, 4 * before, crop, after)
        assert found.num == want.weight.shape[1]
        np.testing.assert_array_equal(found.start, want.start.numpy())
        weight = np.take_along_axis(found.matrix, found.start[:, None] + np.arange(found.num), 1)
        assert found.matrix.sum() == pytest.approx(weight.sum())
        np.testing.assert_allclose(weight, want.weight.numpy(), rtol=0, atol=2**-23)
        equal += int((weight == want.weight.numpy()).all())
    assert equal >= 50


@pytest.mark.parametrize('sizes', [((9, 13), (36, 52), (31, 49), (70, 300)), ((40, 1), (160, 4), (160, 1), (3, 9))])
def test_windows_are_parts_of_the_whole(sizes: tuple[tuple[int, int], ...]) -> None:
    """More pixels than a block has, and less; against two calls of `F.interpolate`."""
    rng = np.random.default_rng(0)
    (h, w), upsampled, crop, (height, width) = sizes
    probs = rng.random((h, w), np.float32)
    whole = F.interpolate(torch.from_numpy(probs)[None, None], upsampled, mode='bilinear')[..., : crop[0], : crop[1]]
    whole = F.interpolate(whole, (height, width), mode='bilinear')[0, 0].numpy()
    rows, columns = (two_resizes(*each) for each in zip(*sizes, strict=True))
    for _ in range(10):
        y1, x1 = rng.integers(0, height), rng.integers(0, width)
        y2, x2 = rng.integers(y1, height) + 1, rng.integers(x1, width) + 1
        (top, bottom), (left, right) = rows.sources(y1, y2), columns.sources(x1, x2)
        part = probs[top:bottom, left:right]
        found = above(
            part, (top, left), rows, columns, (y1, y2, x1, x2), threshold=0.5, inclusive=bool(rng.integers(2))
        )
        sure = abs(whole[y1:y2, x1:x2] - 0.5) > 1e-6
        np.testing.assert_array_equal(found[sure], (whole[y1:y2, x1:x2] > 0.5)[sure])
        assert sure.mean() > 0.99
    assert width < BLOCK or width > 2 * BLOCK


def test_what_depends_on_pixels_is_reached() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        before, crop, after = 20, int(rng.integers(1, 81)), int(rng.integers(1, 200))
        resize = two_resizes(before, 80, crop, after)
        low = int(rng.integers(0, before))
        stop = int(rng.integers(low + 1, before + 1))
        depends = np.flatnonzero(resize.matrix[:, low:stop].any(1))
        first, last = resize.reached(low, stop)
        if len(depends):
            assert first <= depends[0]
            assert last > depends[-1]
        assert last - first <= len(depends) + 2 * resize.num * (after / crop * 4 + 1)


@pytest.mark.parametrize('side', [1, 7, 28])
def test_pixels_sample_a_mask_as_grid_sample_does(side: int) -> None:
    rng = np.random.default_rng(side)
    for _ in range(20):
        low, high = np.sort(rng.uniform(-20, 60, 2)).astype(np.float32)
        cells = rng.random(side, np.float32)
        pixel = torch.arange(40, dtype=torch.float32)
        at = (pixel + 0.5 - low) / (high - low) * 2 - 1
        grid = torch.stack([at, torch.zeros(40)], -1)[None, None]
        want = F.grid_sample(torch.from_numpy(cells)[None, None, None], grid, align_corners=False)[0, 0, 0]
        found = sampling(0, 40, low, high, side).matrix @ np.pad(cells, 1)
        np.testing.assert_allclose(found, want.numpy(), atol=1e-6)
