"""Pairs of pixels two steps apart, of which BoxInst's pairwise loss is a sum.

A pixel has eight such neighbours, 3 x 3 dilation 2. A pair has one entry, at its first pixel; four steps reach all.
"""

import torch.nn.functional as F
from torch import Tensor

STEPS = ((0, 2), (2, -2), (2, 0), (2, 2))
"""Rows and columns from the first pixel of a pair to the second."""


def at_neighbour(maps: Tensor, step: tuple[int, int], *, outside: float = 0) -> Tensor:
    """What maps have at each pixel's neighbour.

    Args:
        maps: (..., h, w).
        step: rows and columns to the neighbour.
        outside: what neighbours beyond the border have.

    Returns:
        (..., h, w).
    """
    rows, columns = step
    return F.pad(maps, (-columns, columns, -rows, rows), value=outside)
