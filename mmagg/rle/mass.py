"""Area and centre of mass of masks in COCO's compressed RLE, from their run lengths: no pixel is drawn.

A run is a stretch of the image read column by column, so with F(n) the sum of x (or y) over the first n pixels, its
share of the moment is F(end) - F(start). For n = qH + r: Σ x = H q (q - 1) / 2 + q r and
Σ y = q H (H - 1) / 2 + r (r - 1) / 2.

Shape shorthand: N masks of an image of H rows.
"""

from collections.abc import Sequence

import numpy as np

from mmagg.rle.codes import compressed
from mmagg.rle.lengths import run_lengths


def rle_mass(rles: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Areas and centres of mass.

    Args:
        rles: N masks, valid ones.

    Returns:
        (N,) int64 pixels, and (N, 2) float64 centres x and y, of which pixels are integers; (0, 0) of an empty mask.
    """
    sums = np.zeros((len(rles), 3), np.int64)
    for place, rle in enumerate(rles):
        code = compressed(rle)['counts']
        ends = np.cumsum(run_lengths(code.encode() if isinstance(code, str) else code))
        ends = ends[: len(ends) // 2 * 2].reshape(-1, 2)  # of the background before a run, and of the run
        height = rle['size'][0]
        columns, rows = divmod(ends, height)
        x = height * columns * (columns - 1) // 2 + columns * rows
        y = columns * (height * (height - 1) // 2) + rows * (rows - 1) // 2
        sums[place] = [np.diff(one, axis=1).sum() for one in (ends, x, y)]
    areas = sums[:, 0]
    return areas, sums[:, 1:] / np.maximum(areas, 1)[:, None]
