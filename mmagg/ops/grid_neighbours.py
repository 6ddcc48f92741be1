"""Which mask representations a class cell aggregates (AggMask, Sec. 4, Eqs. 3 and 8)."""

import torch
from torch import Tensor

# Offsets (row, column) around the centre; None: the four corners around the cell's exact position instead.
PATTERNS = {
    'none': (),
    'self': ((0, 0),),
    '4': ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)),
    '8': tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)),
    'corners': None,
}
CENTRES = ('nearest', 'floor')


def num_neighbours(pattern: str) -> int:
    """K of a pattern, itself included.

    Raises:
        ValueError: unknown pattern.
    """
    if pattern not in PATTERNS:
        raise ValueError(f'neighbour pattern {pattern!r}; there are {", ".join(map(repr, PATTERNS))}')
    offsets = PATTERNS[pattern]
    return 4 if offsets is None else len(offsets)


def grid_neighbours(cls_grid: int, mask_grid: int, pattern: str = '4', *, centre: str = 'nearest') -> Tensor:
    """The cells of the mask grid that each cell of the class grid looks at.

    Both grids span the image from corner to corner: row i of S_cls stands at i * (S_mask - 1) / (S_cls - 1). All
    arithmetic is in integers: in float32, grids such as 40 and 21 give positions beyond the last row.

    Args:
        cls_grid: side S_cls of the class grid.
        mask_grid: side S_mask of the mask grid.
        pattern: 'none' (K = 0), 'self' (K = 1), '4' (up, left, itself, right, down: K = 5), '8' (3 x 3, row-major:
            K = 9) or 'corners' (K = 4: the cells around the exact position, clockwise from the top right; for mask
            grids coarser than the class grid). Beyond the border, the border's cells repeat.
        centre: how the position becomes a cell: 'nearest' rounds (half to even), as the release does; 'floor' is
            floor(i * S_mask / S_cls), the paper's Eq. 8. The two agree where the mask grid is half the class grid.
            The corners have no centre.

    Returns:
        (S_cls², K) long, row-major cells of the mask grid.

    Raises:
        ValueError: unknown `pattern` or `centre`.
    """
    k = num_neighbours(pattern)
    if centre not in CENTRES:
        raise ValueError(f'centre {centre!r}; there are {", ".join(map(repr, CENTRES))}')
    line = torch.arange(cls_grid)
    gaps = max(cls_grid - 1, 1)  # a single cell stands at 0
    low = line * (mask_grid - 1) // gaps
    rest = line * (mask_grid - 1) % gaps
    offsets = PATTERNS[pattern]
    if offsets is None:
        high = low + (rest > 0)
        rows, columns = torch.stack([low, high, high, low], 1), torch.stack([high, high, low, low], 1)
    else:
        if centre == 'nearest':
            low = low + ((2 * rest > gaps) | ((2 * rest == gaps) & (low % 2 == 1)))
        else:
            low = line * mask_grid // cls_grid
        steps = torch.tensor(offsets, dtype=torch.long).reshape(k, 2)  # also for K = 0
        rows, columns = ((low[:, None] + step).clamp(0, mask_grid - 1) for step in steps.unbind(1))
    return (rows[:, None] * mask_grid + columns[None, :]).reshape(cls_grid**2, k)
