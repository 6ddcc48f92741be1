"""From the candidates of an exported boxed model to instances, as `BoxedMaskPostProcessor` of `mmagg.models` does.

Shape shorthand: N candidates, M instances, (r, r) mask size in a box, (H, W) original image.
"""

import numpy as np

from mmagg.rle.codes import window_to_rle
from mmagg.runtime.found import Found
from mmagg.runtime.linear_maps import LinearMap, above, sampling
from mmagg.runtime.suppression import box_nms


class BoxedPostProcessor:
    """NMS of boxes, and pasting of their masks; the arguments are those of `BoxedMaskPostProcessor`.

    Args:
        iou_thr: IoU above which a box is suppressed by a better one of its class, in (0, 1].
        max_per_img: most instances per image.
        sqrt_score: score = √(class probability · centerness).
        clip_boxes: clip boxes to the image before NMS.
        mask_thr: threshold of a pixel's probability, inclusive, in (0, 1).

    Raises:
        TypeError: an unknown key, or a value of another type.
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        *,
        iou_thr: float = 0.6,
        max_per_img: int = 100,
        sqrt_score: bool = True,
        clip_boxes: bool = True,
        mask_thr: float = 0.5,
    ) -> None:
        for name, good in (
            ('iou_thr', 0 < iou_thr <= 1),
            ('max_per_img', max_per_img >= 1),
            ('mask_thr', 0 < mask_thr < 1),
        ):
            if not good:
                raise ValueError(f'{name} is out of its range')
        self.iou_thr, self.max_per_img, self.mask_thr = iou_thr, int(max_per_img), mask_thr
        self.sqrt_score, self.clip_boxes = bool(sqrt_score), bool(clip_boxes)

    def __call__(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        masks: np.ndarray | None,
        *,
        img_shape: tuple[int, int],
        out_size: tuple[int, int],
    ) -> Found:
        """Instances of one image.

        Args:
            boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the network's input.
            scores: (N,) float32 class probability times centerness; 0 where there is no candidate.
            labels: (N,) int64 classes.
            masks: (N, r, r) float32 logits in the frames of the boxes; None: the model has none.
            img_shape: (height, width) of the image in the network's input, without the padding.
            out_size: (H, W).

        Returns:
            M instances, whose boxes overlap the image.
        """
        places = np.flatnonzero(scores > 0)
        scores = np.sqrt(scores[places]) if self.sqrt_score else scores[places]
        order = np.argsort(-scores, kind='stable')
        places, scores = places[order], scores[order]
        corners = boxes[places]
        if self.clip_boxes:
            corners = clipped(corners, img_shape)
        kept = box_nms(corners, labels[places], iou_thr=self.iou_thr, most=self.max_per_img)
        factor = np.array([out_size[1] / img_shape[1], out_size[0] / img_shape[0]] * 2, np.float32)
        corners = clipped(corners[kept] * factor, out_size)
        seen = (corners[:, 2:] > corners[:, :2]).all(1)
        corners, kept = corners[seen], kept[seen]
        places = places[kept]
        rles: tuple[dict | None, ...] = (None,) * len(kept)
        if masks is not None:
            with np.errstate(over='ignore'):  # of a logit far below 0
                probs = 1 / (1 + np.exp(-masks[places]))
            rles = tuple(self._pasted(mask, box, out_size) for mask, box in zip(probs, corners, strict=True))
        return Found(out_size, corners, scores[kept], labels[places].astype(np.int64), rles)

    def _pasted(self, mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> dict:
        """RLE of an image of (H, W) pixels with the mask (r, r) in its box; each pixel samples it at its centre."""
        side = len(mask)
        (x1, x2), (y1, y2) = _span(box[0], box[2], side, size[1]), _span(box[1], box[3], side, size[0])
        if x1 >= x2 or y1 >= y2:
            return window_to_rle(np.zeros((0, 0), bool), 0, 0, size)
        columns, rows = sampling(x1, x2, box[0], box[2], side), sampling(y1, y2, box[1], box[3], side)
        cells = np.pad(mask, 1)
        at_threshold = mask == np.float32(self.mask_thr)
        if (at_threshold[:, 1:] & at_threshold[:, :-1]).any():
            window = _summed(cells, rows, columns) >= np.float32(self.mask_thr)
        else:
            whole = 0, y2 - y1, 0, x2 - x1
            window = above(cells, (0, 0), rows, columns, whole, threshold=self.mask_thr, inclusive=True)
        return window_to_rle(window, x1, y1, size)


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n, 4) boxes clipped to an image of (height, width)."""
    return np.clip(boxes, 0, np.array([size[1], size[0]] * 2, np.float32))


def _span(low: np.float32, high: np.float32, side: int, length: int) -> tuple[int, int]:
    """First pixel of an axis that a mask covers, and the one behind the last."""
    reach = (high - low) / np.float32(2 * side) + np.float32(0.5)  # half a cell around the box fades to zero
    return int(np.clip(np.floor(low - reach), 0, length)), int(np.clip(np.ceil(high + reach), 0, length))


def _summed(cells: np.ndarray, rows: LinearMap, columns: LinearMap) -> np.ndarray:
    """Interpolated cells, (b, a), as the sum of four products in the order of `F.grid_sample`.

    Its rounding decides which pixels are inside where neighbouring cells are at the threshold, as with logits of 0: a
    box beyond the feature map.
    """
    (y, *ys), (x, *xs) = ((axis.start, *_weights(axis)) for axis in (rows, columns))
    result = np.zeros((len(y), len(x)), np.float32)
    for i, down in enumerate(ys):
        for j, right in enumerate(xs):
            result += (cells[:, x + j] * right)[y + i] * down[:, None]
    return result


def _weights(axis: LinearMap) -> tuple[np.ndarray, np.ndarray]:
    """Of the two neighbours of each pixel."""
    pixel = np.arange(len(axis.start))
    return axis.matrix[pixel, axis.start], axis.matrix[pixel, axis.start + 1]
