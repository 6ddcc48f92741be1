"""The mask representations that a class cell aggregates (AggMask, Sec. 4, Eqs. 3 and 8)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Pattern(NamedTuple):
    """K cells of the mask grid around the position of a class cell in it."""

    offsets: tuple[tuple[int, int], ...]
    """Offsets (row, column) from this position."""
    centred: bool = True
    """True: offsets count from the cell that the position is rounded to. False: an offset of 0 is the position rounded
    down, and 1 the position rounded up."""


PATTERNS = {
    'none': Pattern(()),
    'self': Pattern(((0, 0),)),
    '4': Pattern(((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))),
    '8': Pattern(tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))),
    'corners': Pattern(((0, 1), (1, 1), (1, 0), (0, 0)), centred=False),
}
CENTRES = ('nearest', 'floor')


def find_pattern(name: str) -> Pattern:
    """The pattern of this name; raises ValueError if there is none."""
    if name not in PATTERNS:
        raise ValueError(f'neighbour pattern {name!r}; there are {", ".join(map(repr, PATTERNS))}')
    return PATTERNS[name]


def num_neighbours(pattern: str) -> int:
    """K of a pattern, the cell itself included."""
    return len(find_pattern(pattern).offsets)


def arrangement(pattern: str) -> list[tuple[int, int]]:
    """The (row, column) of each of K masks in a drawing of the pattern; both begin at 0."""
    offsets = find_pattern(pattern).offsets
    top, left = (min(line, default=0) for line in ([row for row, _ in offsets], [column for _, column in offsets]))
    return [(row - top, column - left) for row, column in offsets]


def grid_neighbours(cls_grid: int, mask_grid: int, pattern: str = '4', *, centre: str = 'nearest') -> Tensor:
    """The cells of the mask grid whose representations each cell of the class grid aggregates.

    As in the release, both grids span the image from corner to corner: row i of S_cls is at i * (S_mask - 1) /
    (S_cls - 1). All arithmetic is in integers: in float32, grids such as 40 and 21 give positions beyond the last row.

    Args:
        cls_grid: side S_cls of the class grid.
        mask_grid: side S_mask of the mask grid.
        pattern: one of `PATTERNS`: 'none' (K = 0), 'self' (K = 1), '4' (up, left, itself, right, down: K = 5), '8'
            (3 x 3, row-major: K = 9) or 'corners' (K = 4: the cells around the exact position, clockwise from the top
            right; for mask grids coarser than the class grid). Beyond the border, the border's cells repeat.
        centre: rounding of the position to a cell: 'nearest' (half to even), as in the release; 'floor', which is
            floor(i * S_mask / S_cls) (AggMask, Eq. 8). The two agree where the mask grid is half the class grid.
            'corners' have no centre.

    Returns:
        (S_cls², K) long, row-major cells of the mask grid.

    Raises:
        ValueError: unknown `pattern` or `centre`.
    """
    offsets, centred = find_pattern(pattern)
    if centre not in CENTRES:
        raise ValueError(f'centre {centre!r}; there are {", ".join(map(repr, CENTRES))}')
    line = torch.arange(cls_grid)
    gaps = max(cls_grid - 1, 1)  # a single cell stands at 0
    start = line * (mask_grid - 1) // gaps
    rest = line * (mask_grid - 1) % gaps
    length = torch.ones_like(line)  # of a step
    if not centred:
        length = (rest > 0).long()
    elif centre == 'nearest':
        start = start + ((2 * rest > gaps) | ((2 * rest == gaps) & (start % 2 == 1)))
    else:
        start = line * mask_grid // cls_grid
    steps = torch.tensor(offsets, dtype=torch.long).reshape(-1, 2)  # also for K = 0
    rows, columns = (
        (start[:, None] + length[:, None] * step).clamp(0, mask_grid - 1) for step in steps.unbind(1)
    )  # (S_cls, K) each
    return (rows[:, None] * mask_grid + columns[None, :]).reshape(cls_grid**2, len(offsets))
