"""Windows of binary masks, each of its own size, one after another in one tensor, and the table that kernels read.

`MaskWindows` have one width, which suits the CPU; a GPU computes these in one launch.

Shape shorthand: n windows, P pixels of all of them, (H, W) image size.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmagg.ops.upload import upload

TILE = 1024  # pixels of a program of the kernels
COLUMNS = 9
# Columns of the table: the index of the mask; first row and first column of the image; rows and columns; where the
# first pixel is written, and the step to the next row; where its borders start (`window_borders`); the number of tiles
# of the windows before, which have a line more than they have rows.


class Places(NamedTuple):
    """Where windows are in the image; (n,) long each, on the CPU."""

    indices: Tensor
    """The masks' indices among all."""
    left: Tensor
    """First column of each window."""
    top: Tensor
    """First row."""
    height: Tensor
    """Rows; 0 for a mask outside the image."""
    width: Tensor
    """Columns."""

    @property
    def areas(self) -> Tensor:
        """(n,) pixels of the windows."""
        return self.height * self.width

    @property
    def borders(self) -> Tensor:
        """(n,) pixels of the windows with a row more, which empty ones do not have."""
        return self.areas + self.width * (self.height > 0)

    def split(self, pixels: int) -> list['Places']:
        """Parts of at most so many pixels, or of one window."""
        parts, start = [], 0
        while start < len(self.indices):
            within = torch.searchsorted(self.areas[start:].cumsum(0), pixels, right=True)
            stop = start + max(1, int(within))
            parts.append(Places(*(x[start:stop] for x in self)))
            start = stop
        return parts

    def table(self, image: tuple[int, int] | None, device: torch.device) -> tuple[Tensor, int]:
        """The table (n, COLUMNS) long on a device, and the number of tiles.

        Args:
            image: (H, W) of bitmaps into which the windows are written; None: they are packed.
            device: where to.
        """
        indices, left, top, height, width = self
        tiles = (self.borders + TILE - 1) // TILE
        start, step = before(self.areas), width
        if image is not None:
            start, step = (indices * image[0] + top) * image[1] + left, torch.full_like(width, image[1])
        rows = torch.stack([indices, top, left, height, width, start, step, before(self.borders), before(tiles)], 1)
        return upload(rows, device), int(tiles.sum())


class PackedWindows(NamedTuple):
    """Masks that are empty outside a window each, in one tensor."""

    places: Places
    """Of the windows."""
    pixels: Tensor
    """(P,) bool, the windows one after another, row by row."""
    table: Tensor
    """(n, COLUMNS) of the windows, where the pixels are."""
    tiles: int
    """Their number, see `Places.table`."""

    @property
    def indices(self) -> Tensor:
        """(n,) the masks' indices among all, on the CPU."""
        return self.places.indices


def before(numbers: Tensor) -> Tensor:
    """(n,) -> (n,) sums of those before each."""
    return numbers.cumsum(0) - numbers
