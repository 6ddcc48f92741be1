"""CIE Lab, in which distances of colours are about as large as they look (sRGB, white D65)."""

import torch
from torch import Tensor

from mmagg.ops.upload import upload

LINEAR_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)
# Of the roots of XYZ: L = 116 y - 16, a = 500 (x - y), b = 200 (y - z).
ROOTS_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
DARKEST = (-16.0, 0.0, 0.0)


def rgb_to_lab(colours: Tensor) -> Tensor:
    """(B, 3, h, w) red, green and blue, 0 to 255 -> (B, 3, h, w) L, 0 to 100, a and b; NaN stays NaN."""
    given = colours / 255
    linear = torch.where(given > 0.04045, ((given + 0.055) / 1.055) ** 2.4, given / 12.92)
    xyz = mixed(linear, LINEAR_TO_XYZ) / upload(WHITE, colours.device)[:, None, None]
    roots = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116)
    return mixed(roots, ROOTS_TO_LAB) + upload(DARKEST, colours.device)[:, None, None]


def mixed(maps: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """(B, 3, h, w) -> (B, 3, h, w), a 3 x 3 matrix times each pixel."""
    # As a sum: autocast would multiply matrices in half precision.
    return (maps[:, None] * upload(matrix, maps.device)[:, :, None, None]).sum(2)
