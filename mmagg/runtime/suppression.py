"""Non-maximum suppression of masks and of boxes, as of `mmagg.ops.mask_nms` and of mmcv, in NumPy.

Shape shorthand: N instances, in descending order of their scores; (h, w) map size.
"""

from dataclasses import dataclass

import numpy as np

KERNELS = ('gaussian', 'linear')
BLOCK_BYTES = 8 * 2**20  # of the float copy of masks: what stays in the processor's caches


def mask_iou(masks: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """IoU of every mask with every other of its group.

    Args:
        masks: (N, h, w) bool.
        groups: (N,) int.

    Returns:
        (N, N) float32; 0 for masks of different groups, and for empty ones.
    """
    flat = masks.reshape(len(masks), masks.shape[1] * masks.shape[2])
    iou = np.zeros((len(flat), len(flat)), np.float32)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        inter = _intersections(flat[members])
        area = inter.diagonal()
        iou[np.ix_(members, members)] = inter / np.maximum(area[None] + area[:, None] - inter, 1)
    return iou


def _intersections(flat: np.ndarray) -> np.ndarray:
    """(n, n) float32 common pixels of masks (n, P); exact for masks of up to 2²⁴ pixels."""
    inter = np.zeros((len(flat), len(flat)), np.float32)
    block = max(1, BLOCK_BYTES // (4 * len(flat)))
    for start in range(0, flat.shape[1], block):
        part = flat[:, start : start + block].astype(np.float32)
        inter += part @ part.T
    return inter


@dataclass(frozen=True, kw_only=True)
class MatrixNMS:
    """Matrix NMS (SOLOv2): decay each score by the overlap with better masks; see `mmagg.ops.matrix_nms`.

    Args:
        kernel: 'gaussian' or 'linear'.
        sigma: strength of the gaussian kernel.
        class_agnostic: let masks of all classes suppress each other.

    Raises:
        ValueError: unknown `kernel`, or a `sigma` that is not positive.
    """

    kernel: str = 'gaussian'
    sigma: float = 2.0
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f'kernel is {self.kernel!r}')
        if not self.sigma > 0:
            raise ValueError(f'sigma is {self.sigma!r}')

    def __call__(self, iou: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(N, N) IoU, 0 for masks that do not suppress each other, and (N,) scores -> (N,) decayed scores."""
        if len(scores) == 0:
            return scores
        overlap = np.triu(iou, 1)  # (i, j): i better than j
        compensation = overlap.max(0)[:, None]
        if self.kernel == 'gaussian':
            sigma = np.float32(-self.sigma)
            return scores * (np.exp(sigma * overlap**2) / np.exp(sigma * compensation**2)).min(0)
        with np.errstate(divide='ignore', invalid='ignore'):
            decay = (1 - overlap) / (1 - compensation)
        decay[np.isnan(decay)] = 0  # j equals i, which equals a better mask; j's decay by that one is 0
        return scores * decay.min(0)


@dataclass(frozen=True, kw_only=True)
class MaskNMS:
    """Hard NMS (SOLO): drop each mask that overlaps a better, kept one.

    Args:
        iou_thr: IoU above which a mask is dropped.
        class_agnostic: let masks of all classes suppress each other.

    Raises:
        ValueError: `iou_thr` outside [0, 1].
    """

    iou_thr: float = 0.5
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.iou_thr <= 1:
            raise ValueError(f'iou_thr is {self.iou_thr!r}')

    def __call__(self, iou: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """As that of `MatrixNMS`: the scores, 0 for dropped masks."""
        suppresses = np.triu(iou > np.float32(self.iou_thr), 1)
        dropped = np.zeros(len(scores), bool)
        for i in range(len(scores)):
            if not dropped[i]:
                dropped |= suppresses[i]
        return scores * ~dropped


def box_nms(boxes: np.ndarray, labels: np.ndarray, *, iou_thr: float, most: int) -> np.ndarray:
    """Hard NMS of boxes of one class, with the rounding of mmcv's `batched_nms`, which moves classes apart.

    Args:
        boxes: (N, 4) float32 x1, y1, x2, y2.
        labels: (N,) int.
        iou_thr: IoU with a better, kept box above which a box is dropped.
        most: number of boxes to keep.

    Returns:
        indices of the kept ones, ascending.
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    boxes = boxes - boxes.min()
    boxes = boxes + (labels.astype(np.float32) * (boxes.max() + np.float32(1)))[:, None]
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    areas = (x2 - x1) * (y2 - y1)
    left: np.ndarray = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        width = np.maximum(np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]), 0)
        height = np.maximum(np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]), 0)
        inter = width * height
        with np.errstate(divide='ignore', invalid='ignore'):  # boxes without a pixel
            left = left[~(inter / (areas[best] + areas[left] - inter) > np.float32(iou_thr))]
    return np.array(kept, np.int64)
