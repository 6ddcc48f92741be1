"""Binary masks as COCO's compressed run-length encoding (RLE), and back.

Shape shorthand: N masks of (H, W) pixels, n of them as windows of (h, w) pixels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmagg.ops.mask_windows import MaskWindows
from mmagg.ops.stage import stage

if TYPE_CHECKING:
    import numpy as np


def masks_to_rle(masks: Tensor) -> list[dict]:
    """Encode masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        N dicts `{'size': [H, W], 'counts': str}`, as COCO's result files hold them.
    """
    zeros = torch.zeros(len(masks), dtype=torch.long)
    windows = MaskWindows(zeros, zeros, zeros, zeros + masks.shape[1], masks.flatten(0, 1))
    return windows_to_rle(windows, tuple(masks.shape[1:]))


@stage('RLE')
def windows_to_rle(windows: MaskWindows, size: tuple[int, int]) -> list[dict]:
    """Encode masks given as windows.

    Args:
        windows: n masks.
        size: (H, W) of the image.

    Returns:
        n dicts as of `masks_to_rle`, in the order of the windows.
    """
    from pycocotools import mask as coco_mask

    pixels = windows.rows.view(torch.uint8).cpu().numpy()
    rles = []
    stop = 0
    for left, top, height in torch.stack([windows.left, windows.top, windows.height], 1).tolist():
        start, stop = stop, stop + height
        counts = _run_lengths(pixels[start:stop], left, top, size)
        counts = coco_mask.frPyObjects({'size': size, 'counts': counts}, *size)['counts'].decode()
        rles.append({'size': list(size), 'counts': counts})
    return rles


def _run_lengths(window: 'np.ndarray', left: int, top: int, size: tuple[int, int]) -> 'np.ndarray':
    """Lengths of the runs of 0, 1, 0 ... of a mask, column by column, from a window (h, w) and its place.

    Only the rectangle around the pixels is turned into columns: a whole image takes several times as long.
    """
    import cv2
    import numpy as np

    height, width = size
    x, y, w, h = cv2.boundingRect(window) if window.size else (0, 0, 0, 0)
    columns = np.zeros((w, h + 1), dtype=np.uint8)  # a 0 ends each column, so that no run goes on in the next
    columns[:, :h] = window[y : y + h, x : x + w].T
    flat = np.concatenate([[0], columns.ravel()])
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), h + 1)
    ends = (column + left + x) * height + row + top + y  # where a run ends and the next one starts, in the image
    if h == height:  # runs may meet: one ends with a column where another starts with the next
        apart = np.diff(ends, prepend=-1, append=-1) != 0
        ends = ends[apart[1:] & apart[:-1]]
    lengths = np.diff(ends, prepend=0, append=height * width)
    return lengths if len(ends) == 0 or lengths[-1] else lengths[:-1]


def rle_to_masks(rles: Sequence[dict], height: int, width: int) -> Tensor:
    """Decode masks.

    Args:
        rles: N dicts `{'size': [H, W], 'counts': str or bytes}`.
        height: H.
        width: W; the size is asked for because no RLE may be there to tell it.

    Returns:
        (N, H, W) bool, on the CPU.

    Raises:
        ValueError: an RLE has another size.
    """
    from pycocotools import mask as coco_mask

    for i, rle in enumerate(rles):
        if list(rle['size']) != [height, width]:
            raise ValueError(f'RLE {i} is of size {list(rle["size"])}, not [{height}, {width}]')
    if len(rles) == 0:
        return torch.zeros(0, height, width, dtype=torch.bool)
    columns = torch.from_numpy(coco_mask.decode(list(rles)).T)  # (N, W, H)
    return columns.transpose(1, 2).contiguous().bool()
