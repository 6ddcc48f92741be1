"""Neighbours in the mask grid, against exact fractions and the paper's example."""

import itertools
from fractions import Fraction
from math import ceil, floor

import pytest
import torch

from mmagg.ops import grid_neighbours, num_neighbours
from mmagg.ops.grid_neighbours import PATTERNS, Pattern, arrangement

GRIDS = [(1, 1), (1, 5), (2, 1), (5, 5), (7, 4), (8, 4), (10, 8), (40, 21), (50, 40)]


def position(i: int, cls_grid: int, mask_grid: int) -> Fraction:
    return Fraction(i * (mask_grid - 1), max(cls_grid - 1, 1))


def clamp(i: int, grid: int) -> int:
    return min(max(i, 0), grid - 1)


@pytest.mark.parametrize(('cls_grid', 'mask_grid'), GRIDS)
def test_four_neighbours(cls_grid: int, mask_grid: int) -> None:
    ours = grid_neighbours(cls_grid, mask_grid, '4').view(cls_grid, cls_grid, 5)
    for i in range(cls_grid):
        for j in range(cls_grid):
            row, column = (round(position(x, cls_grid, mask_grid)) for x in (i, j))  # half to even
            around = [(row - 1, column), (row, column - 1), (row, column), (row, column + 1), (row + 1, column)]
            assert ours[i, j].tolist() == [clamp(r, mask_grid) * mask_grid + clamp(c, mask_grid) for r, c in around]


@pytest.mark.parametrize(('cls_grid', 'mask_grid'), GRIDS)
def test_corners(cls_grid: int, mask_grid: int) -> None:
    ours = grid_neighbours(cls_grid, mask_grid, 'corners').view(cls_grid, cls_grid, 4)
    for i in range(cls_grid):
        for j in range(cls_grid):
            y, x = (position(k, cls_grid, mask_grid) for k in (i, j))
            corners = [(floor(y), ceil(x)), (ceil(y), ceil(x)), (ceil(y), floor(x)), (floor(y), floor(x))]
            assert ours[i, j].tolist() == [r * mask_grid + c for r, c in corners]


def test_other_patterns_share_the_centre_of_the_four() -> None:
    four = grid_neighbours(10, 7, '4')
    assert torch.equal(grid_neighbours(10, 7, 'self')[:, 0], four[:, 2])
    eight = grid_neighbours(10, 7, '8')
    assert torch.equal(eight[:, [1, 3, 4, 5, 7]], four)
    assert eight[0].tolist() == [0, 0, 1, 0, 0, 1, 7, 7, 8]  # the border repeats
    assert grid_neighbours(10, 7, 'none').shape == (100, 0)


def test_the_papers_rounding() -> None:
    """Eq. 8 and its example: with 20 class and 10 mask cells, (15, 15) and (14, 14) share the centre (7, 7)."""
    centres = grid_neighbours(20, 10, 'self', centre='floor').view(20, 20)
    assert centres[15, 15] == centres[14, 14] == 7 * 10 + 7
    assert torch.equal(centres, grid_neighbours(20, 10, 'self').view(20, 20))
    assert not torch.equal(grid_neighbours(50, 40, 'self', centre='floor'), grid_neighbours(50, 40, 'self'))


@pytest.mark.parametrize(('cls_grid', 'mask_grid'), [(40, 20), (36, 18), (24, 12), (16, 8), (12, 6)])
def test_eq_8_on_the_coarser_mask_grids_is_the_releases_other_mode(cls_grid: int, mask_grid: int) -> None:
    """Grids of AggMask's "-mask": half as many cells, so that flooring and rounding find the same ones."""
    ours = grid_neighbours(cls_grid, mask_grid, '4', centre='floor')
    assert torch.equal(ours, grid_neighbours(cls_grid, mask_grid, '4'))
    i = j = cls_grid // 2 + 1
    row, column = floor(i * mask_grid / cls_grid), floor(j * mask_grid / cls_grid)
    around = [(row - 1, column), (row, column - 1), (row, column), (row, column + 1), (row + 1, column)]
    assert ours[i * cls_grid + j].tolist() == [r * mask_grid + c for r, c in around]


def test_every_grid_stays_in_range() -> None:
    for cls_grid in range(1, 81):
        for mask_grid in (1, 21, 40, 80):
            for pattern in ('4', '8', 'corners'):
                cells = grid_neighbours(cls_grid, mask_grid, pattern)
                assert cells.shape == (cls_grid**2, num_neighbours(pattern))
                assert cells.min() >= 0
                assert cells.max() < mask_grid**2


def test_arrangements_follow_the_grid() -> None:
    square = [(row, column) for row in range(3) for column in range(3)]
    assert {pattern: arrangement(pattern) for pattern in PATTERNS} == {
        'none': [],
        'self': [(0, 0)],
        '4': [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)],
        '8': square,
        'corners': [(0, 1), (1, 1), (1, 0), (0, 0)],
    }
    for pattern in ('self', '4', '8', 'corners'):  # cells further down or right stand further down or right
        cells = grid_neighbours(9, 9 if pattern != 'corners' else 4, pattern)[4 * 9 + 4].tolist()
        side = 9 if pattern != 'corners' else 4
        places = arrangement(pattern)
        for (a, place_a), (b, place_b) in itertools.combinations(zip(cells, places, strict=True), 2):
            assert (a // side - b // side, a % side - b % side) == (place_a[0] - place_b[0], place_a[1] - place_b[1])


def test_a_new_pattern_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five cells, as '4' has, but others: nothing goes by the number of cells."""
    monkeypatch.setitem(PATTERNS, 'diagonal', Pattern(((-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1))))
    assert num_neighbours('diagonal') == 5
    assert grid_neighbours(7, 7, 'diagonal')[3 * 7 + 3].tolist() == [16, 18, 24, 30, 32]
    assert arrangement('diagonal') == [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)]


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match=r"'5'.*corners"):
        grid_neighbours(4, 4, '5')
    with pytest.raises(ValueError, match=r"'ceil'.*floor"):
        grid_neighbours(4, 4, '4', centre='ceil')
