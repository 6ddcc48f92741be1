"""The three alignments of SOLO's category branch, cell by cell and sample by sample."""

from math import ceil, floor

import pytest
import torch
from torch import Tensor

from mmagg.ops.grid_align import ALIGNMENTS, maxima_of_cells

CASES = [((1, 1), 1), ((5, 7), 3), ((3, 4), 6), ((12, 9), 4), ((10, 6), 5), ((2, 30), 7)]


def sample(image: Tensor, y: float, x: float) -> Tensor:
    """(C, H, W) -> (C,), bilinear; pixel i has its centre at i + 0.5, and the border goes on."""
    height, width = image.shape[1:]
    y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
    top, left = floor(y), floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    above = (1 - x + left) * image[:, top, left] + (x - left) * image[:, top, right]
    below = (1 - x + left) * image[:, bottom, left] + (x - left) * image[:, bottom, right]
    return (1 - y + top) * above + (y - top) * below


def naive(kind: str, image: Tensor, grid: int, row: int, column: int) -> Tensor:
    """The vector (C,) of one cell."""
    height, width = (side / grid for side in image.shape[1:])  # of a cell, in pixels
    if kind == 'interpolate':
        return sample(image, (row + 0.5) * height, (column + 0.5) * width)
    if kind == 'adaptive_pool':
        rows = slice(floor(row * height), ceil((row + 1) * height))
        return image[:, rows, floor(column * width) : ceil((column + 1) * width)].amax(dim=(1, 2))
    down, across = max(2, ceil(height)), max(2, ceil(width))
    points = [
        sample(image, (row + (i + 0.5) / down) * height, (column + (j + 0.5) / across) * width)
        for i in range(down)
        for j in range(across)
    ]
    return torch.stack(points).mean(0)


@pytest.mark.parametrize('kind', ALIGNMENTS)
@pytest.mark.parametrize('size, grid', CASES)
def test_each_cell(kind: str, size: tuple[int, int], grid: int) -> None:
    x = torch.randn(2, 3, *size).double().requires_grad_()
    got = ALIGNMENTS[kind](x, grid)
    assert got.shape == (2, 3, grid, grid)
    for row in range(grid):
        for column in range(grid):
            want = torch.stack([naive(kind, image, grid, row, column) for image in x])
            torch.testing.assert_close(got[:, :, row, column], want)
    got.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('kind', ALIGNMENTS)
def test_half_precision_and_the_meta_device(kind: str) -> None:
    x = torch.randn(1, 4, 9, 14)
    with torch.autocast('cpu', torch.bfloat16):
        low = ALIGNMENTS[kind](x.bfloat16(), 4)
    torch.testing.assert_close(low.float(), ALIGNMENTS[kind](x, 4), atol=0.05, rtol=0.05)
    assert ALIGNMENTS[kind](x.to('meta'), 4).shape == (1, 4, 4, 4)


@pytest.mark.parametrize('size', [(7, 40), (12, 5), (33, 36), (1, 1)])
@pytest.mark.parametrize('grid', [1, 5, 12])
def test_maxima_of_cells_are_the_adaptive_pooling(size, grid):
    """As it is exported, where there is no such operator."""
    x = torch.randn(2, 3, *size)
    by_columns = maxima_of_cells(x, grid)
    assert torch.equal(
        maxima_of_cells(by_columns.transpose(2, 3), grid).transpose(2, 3), ALIGNMENTS['adaptive_pool'](x, grid)
    )
