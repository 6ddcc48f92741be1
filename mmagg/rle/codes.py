"""COCO's run-length encoding (RLE) of binary masks.

RLE is a dict of `size`, [H, W], and `counts`: compressed as text (JSON) or bytes (pycocotools), or uncompressed as a
list of run lengths.

Shape shorthand: N masks of (H, W) pixels, windows of (h, w) pixels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmagg.rle.arrays import as_array
from mmagg.rle.lengths import run_lengths

if TYPE_CHECKING:
    from torch import Tensor

SHORT = 20  # pixels of an image per byte of a mask's code, from which on a window is decoded faster than the whole
BLOCK = 2**21  # pixels turned from columns into rows at once, which stay in the processor's cache


def masks_to_rle(masks: 'Tensor | np.ndarray | Sequence') -> list[dict]:
    """Encode masks.

    Args:
        masks: (N, H, W) of 0 and 1, or a sequence of N masks, (H, W) or RLE already.

    Returns:
        N dicts `{'size': [H, W], 'counts': str}`, as COCO's result files hold them.
    """
    parts = masks if isinstance(masks, Sequence) else as_array(masks)
    return [_for_json(compressed(mask)) if isinstance(mask, dict) else _encoded(as_array(mask)) for mask in parts]


def window_to_rle(window: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict:
    """Encode a mask that is empty outside a window.

    Args:
        window: (h, w) bool, or uint8 of 0 and 1.
        left: its first column in the image.
        top: its first row.
        size: (H, W) of the image.

    Returns:
        A dict as of `masks_to_rle`.
    """
    return ends_to_rle(_run_ends(window.view(np.uint8), left, top, size), size)


def ends_to_rle(ends: np.ndarray, size: tuple[int, int]) -> dict:
    """Encode a mask of (H, W) pixels, given by the x · H + y at which a run of 0, 1, 0 ... ends, ascending."""
    from pycocotools import mask as coco_mask

    lengths = np.diff(ends, prepend=0, append=size[0] * size[1])
    counts = lengths if len(ends) == 0 or lengths[-1] else lengths[:-1]
    counts = coco_mask.frPyObjects({'size': size, 'counts': counts}, *size)['counts'].decode()
    return {'size': list(size), 'counts': counts}


def _encoded(mask: np.ndarray) -> dict:
    """RLE of one mask (H, W)."""
    return window_to_rle(np.ascontiguousarray(mask, bool), 0, 0, (mask.shape[0], mask.shape[1]))


def _run_ends(window: np.ndarray, left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    """Where the runs of 0, 1, 0 ... of a mask end, column by column, from a window (h, w) and its place.

    Only the rectangle around the pixels is turned into columns: a whole image takes several times as long.
    """
    import cv2

    height = size[0]
    x, y, w, h = cv2.boundingRect(window) if window.size else (0, 0, 0, 0)
    columns = np.zeros((w, h + 1), dtype=np.uint8)  # a 0 ends each column, so that no run goes on in the next
    columns[:, :h] = window[y : y + h, x : x + w].T
    flat = np.concatenate([[0], columns.ravel()])
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), h + 1)
    ends = (column + left + x) * height + row + top + y  # where a run ends and the next one starts, in the image
    if h == height:  # runs may meet: one ends with a column where another starts with the next
        apart = np.diff(ends, prepend=-1, append=-1) != 0
        ends = ends[apart[1:] & apart[:-1]]
    return ends


def decode_mask(mask: 'Tensor | np.ndarray | dict') -> np.ndarray:
    """One mask, (H, W) bool, from any of the forms that masks have."""
    if not isinstance(mask, dict):
        return as_array(mask).astype(bool)
    height, width = mask['size']
    return decode_window(mask, (0, 0, width, height)).view(bool)


def mask_box(mask: 'Tensor | np.ndarray | dict') -> tuple[int, int, int, int]:
    """x, y, width and height in pixels of one mask, in any of the forms that masks have; zeros for an empty one."""
    import cv2

    if isinstance(mask, dict):
        x, y, w, h = rle_boxes([compressed(mask)])[0].astype(int).tolist()
    else:
        x, y, w, h = cv2.boundingRect(as_array(mask).astype(bool, copy=False).view(np.uint8))
    return x, y, w, h


def decode_window(mask: 'Tensor | np.ndarray | dict', window: tuple[int, int, int, int]) -> np.ndarray:
    """The part of one mask, in any of the forms that masks have, in a window of its image.

    Args:
        mask: (H, W).
        window: x, y, w, h in pixels, inside the image.

    Returns:
        (h, w) uint8 of 0 and 1.
    """
    import cv2
    from pycocotools import mask as coco_mask

    x, y, w, h = window
    if not isinstance(mask, dict):
        return np.ascontiguousarray(as_array(mask)[y : y + h, x : x + w]).astype(bool, copy=False).view(np.uint8)
    rle = compressed(mask)
    height, width = rle['size']
    if len(rle['counts']) > height * width // SHORT:
        return cv2.transpose(coco_mask.decode(rle).T[x : x + w, y : y + h])
    code = rle['counts']
    ends = np.cumsum(run_lengths(code.encode() if isinstance(code, str) else code))
    part = np.empty((h, w), np.uint8)
    step = max(1, BLOCK // height)
    for left in range(x, x + w, step):
        right = min(left + step, x + w)
        first, last = np.searchsorted(ends, [left * height, right * height])
        runs = np.diff(ends[first:last], prepend=left * height, append=right * height)
        columns = np.repeat((np.arange(first, last + 1) % 2).astype(np.uint8), runs).reshape(-1, height)
        cv2.transpose(columns[:, y : y + h], dst=part[:, left - x : right - x])
    return part


def compressed(rle: dict) -> dict:
    """The same RLE with compressed `counts`, text or bytes.

    Raises:
        OverflowError: a run length is negative.
    """
    from pycocotools import mask as coco_mask

    return coco_mask.frPyObjects(rle, *rle['size']) if isinstance(rle['counts'], list) else rle


def outline_to_rle(outline: list | dict, height: int, width: int) -> dict:
    """An annotated object's mask as compressed RLE.

    Args:
        outline: polygons, each a list x0, y0, x1, y1, ... in pixels, or RLE.
        height: H, for polygons; RLE has its own.
        width: W.
    """
    from pycocotools import mask as coco_mask

    if isinstance(outline, dict):
        return compressed(outline)
    return coco_mask.merge(coco_mask.frPyObjects(outline, height, width))


def rle_area(rle: dict) -> int:
    """Pixels of a compressed mask."""
    from pycocotools import mask as coco_mask

    return int(coco_mask.area(rle))


def rle_boxes(rles: Sequence[dict]) -> np.ndarray:
    """(N, 4) x, y, width, height in pixels of N compressed masks; zeros for an empty one."""
    from pycocotools import mask as coco_mask

    return coco_mask.toBbox(list(rles)).reshape(-1, 4)


def pairwise_iou(found: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """COCO's IoU (N, M) of N outlines with M; the IoU with a crowd region is the share of the outline in the region.

    Args:
        found: (N,) object array of compressed RLE, or (N, 4) boxes x, y, width, height.
        objects: (M,) or (M, 4), likewise.
        crowd: (M,) bool.
    """
    from pycocotools import mask as coco_mask

    outlines = (found, objects) if found.ndim == 2 else (found.tolist(), objects.tolist())
    return coco_mask.iou(*outlines, crowd.astype('uint8'))


def instance_boxes(
    boxes: 'Tensor | np.ndarray | None', masks: 'Tensor | np.ndarray | Sequence | None', *, count: int
) -> np.ndarray:
    """(N, 4) boxes x1, y1, x2, y2, those around the masks in place of empty ones.

    Args:
        boxes: (N, 4), with zeros from mmdet's SOLO heads, or None.
        masks: N masks.
        count: N.
    """
    given: np.ndarray = np.zeros((count, 4)) if boxes is None else as_array(boxes).reshape(count, 4).astype(float)
    empty: np.ndarray = np.all(given[:, 2:] <= given[:, :2], axis=1)
    if masks is not None and empty.any():
        x, y, w, h = rle_boxes(masks_to_rle(masks)).T
        given = np.where(empty[:, None], np.stack([x, y, x + w, y + h], axis=1), given)
    return given


def _for_json(rle: dict) -> dict:
    counts = rle['counts']
    return {
        'size': [int(side) for side in rle['size']],
        'counts': counts if isinstance(counts, str) else counts.decode(),
    }
