"""From a feature map to one vector per grid cell: the alignments of the category branch (SOLO, Sec. 3.3).

Shape shorthand: B images, C channels, S grid side, (H, W) map size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmagg.ops.bilinear import interpolation_matrix


def interpolate(x: Tensor, grid: int) -> Tensor:
    """One bilinear sample at the centre of each cell: (B, C, H, W) -> (B, C, S, S)."""
    return F.interpolate(x, size=(grid, grid), mode='bilinear', align_corners=False)


def adaptive_pool(x: Tensor, grid: int) -> Tensor:
    """The maximum of the pixels that each cell touches: (B, C, H, W) -> (B, C, S, S)."""
    if torch.compiler.is_exporting():  # ONNX has no such operator
        return maxima_of_cells(maxima_of_cells(x.transpose(2, 3), grid).transpose(2, 3), grid)
    return F.adaptive_max_pool2d(x, (grid, grid))


def maxima_of_cells(x: Tensor, grid: int) -> Tensor:
    """`adaptive_pool` of one axis, by gathering: (B, C, H, W) -> (B, C, H, S)."""
    length, cell = x.shape[-1], torch.arange(grid, device=x.device)
    first, last = cell * length // grid, ((cell + 1) * length + grid - 1) // grid - 1
    # A cell touches at most ⌈W / S⌉ + 1 pixels; of fewer, the last one is taken again.
    most = torch.arange((length + grid - 1) // grid + 1, device=x.device)
    index = torch.minimum(first[:, None] + most, last[:, None])
    return x.index_select(3, index.flatten()).unflatten(3, index.shape).amax(4)


def region_grid(x: Tensor, grid: int) -> Tensor:
    """The mean of dense bilinear samples in each cell: (B, C, H, W) -> (B, C, S, S).

    The paper does not say how dense. Here a cell of h × w pixels has max(2, ⌈h⌉) × max(2, ⌈w⌉) samples, evenly spaced.
    Sampling and averaging are linear in rows and in columns: they are one matrix each.
    """
    rows, columns = (cell_means(length, grid, like=x) for length in x.shape[-2:])
    return rows @ x @ columns.t()


def cell_means(length: int, grid: int, *, like: Tensor) -> Tensor:
    """The matrix of `region_grid` along one axis of this length: (S, length), of the dtype and device of `like`."""
    samples = max(2, -(-length // grid))
    matrix = interpolation_matrix(length, grid * samples, align_corners=False, like=like)
    return matrix.unflatten(0, (grid, samples)).mean(1)


ALIGNMENTS = {'interpolate': interpolate, 'adaptive_pool': adaptive_pool, 'region_grid': region_grid}
