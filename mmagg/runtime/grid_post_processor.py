"""From the candidates of an exported grid model to instances, as `MaskPostProcessor` of `mmagg.models` does.

Shape shorthand: N candidates, n of them that enter NMS, M instances, (h, w) map size, (H, W) original image.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from mmagg.rle.codes import window_to_rle
from mmagg.runtime.found import Found
from mmagg.runtime.linear_maps import above, two_resizes
from mmagg.runtime.suppression import BLOCK_BYTES, MaskNMS, MatrixNMS, mask_iou

NMS = {'MatrixNMS': MatrixNMS, 'MaskNMS': MaskNMS}


class GridPostProcessor:
    """Filtering, scoring, NMS and resizing, in the order of SOLO; the arguments are those of `MaskPostProcessor`.

    Args:
        score_thr: threshold of a candidate's class score, exclusive.
        mask_thr: threshold of a pixel's probability, exclusive, in (0, 1).
        nms_pre: most candidates that enter NMS.
        filter_thr: smallest score after NMS.
        max_per_img: most instances per image.
        nms: `type`, MatrixNMS or MaskNMS, and their arguments; None for Matrix NMS with its defaults.

    Raises:
        TypeError: an unknown key, or a value of another type.
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        *,
        score_thr: float = 0.1,
        mask_thr: float = 0.5,
        nms_pre: int = 500,
        filter_thr: float = 0.05,
        max_per_img: int = 100,
        nms: Mapping[str, Any] | None = None,
    ) -> None:
        options = {'type': 'MatrixNMS', **(nms or {})}
        for name, good in (
            ('score_thr', 0 <= score_thr < 1),
            ('mask_thr', 0 < mask_thr < 1),
            ('nms_pre', nms_pre >= 1),
            ('filter_thr', 0 <= filter_thr <= 1),
            ('max_per_img', max_per_img >= 1),
            ('nms.type', options['type'] in NMS),
        ):
            if not good:
                raise ValueError(f'{name} is out of its range')
        self.score_thr, self.mask_thr, self.filter_thr = score_thr, mask_thr, filter_thr
        self.nms_pre, self.max_per_img = int(nms_pre), int(max_per_img)
        self.nms = NMS[options.pop('type')](**options)

    def __call__(
        self,
        scores: np.ndarray,
        labels: np.ndarray,
        min_areas: np.ndarray,
        masks: np.ndarray,
        *,
        upsampled_size: tuple[int, int],
        img_shape: tuple[int, int],
        out_size: tuple[int, int],
    ) -> Found:
        """Instances of one image.

        Args:
            scores: (N,) float32 class scores.
            labels: (N,) int64 classes.
            min_areas: (N,) pixels at map size, which a mask must exceed.
            masks: (N, h, w) float32 probabilities.
            upsampled_size: (height, width) of the padded network input.
            img_shape: (height, width) of the resized image in it, without the padding.
            out_size: (H, W).

        Returns:
            M instances; a mask without a pixel at the final size has a box of zeros.
        """
        index = np.flatnonzero(scores > np.float32(self.score_thr))
        binary, area, inside = self._measured(masks, index)
        large = np.flatnonzero(area > min_areas[index])
        scores = scores[index[large]] * (inside[large] / area[large])
        order = np.argsort(-scores, kind='stable')[: self.nms_pre]
        scores, places = scores[order], large[order]  # places among the binary masks
        labels = labels[index[places]].astype(np.int64)
        iou = mask_iou(binary[places], np.zeros_like(labels) if self.nms.class_agnostic else labels)
        decayed = self.nms(iou, scores)
        kept = np.flatnonzero((decayed >= np.float32(self.filter_thr)) & (decayed > 0))
        kept = kept[np.argsort(-decayed[kept], kind='stable')[: self.max_per_img]]
        sizes = upsampled_size, img_shape, out_size
        boxes, rles = self._full_size(masks, binary, index[places[kept]], places[kept], sizes)
        return Found(out_size, boxes, decayed[kept], labels[kept], rles)

    def _measured(self, masks: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Binary masks (N', h, w), their areas (N',), and the sums of the probabilities inside (N',)."""
        binary = np.empty((len(index), *masks.shape[1:]), bool)
        inside = np.empty(len(index), np.float32)
        step = max(1, BLOCK_BYTES // max(1, 4 * masks[:1].size))
        for start in range(0, len(index), step):
            part = slice(start, start + step)
            soft = masks[index[part]]
            np.greater(soft, np.float32(self.mask_thr), out=binary[part])
            soft *= binary[part]
            inside[part] = soft.reshape(len(soft), -1).sum(1)
        return binary, np.count_nonzero(binary, axis=(1, 2)).astype(np.float32), inside

    def _full_size(
        self,
        masks: np.ndarray,
        binary: np.ndarray,
        index: np.ndarray,
        places: np.ndarray,
        sizes: tuple[tuple[int, int], ...],
    ) -> tuple[np.ndarray, tuple[dict, ...]]:
        """Boxes (M, 4) and RLE of the masks `index`, whose binary maps are at `places`, at the image's size.

        Only the pixels are computed that depend on one of the map above the threshold.
        """
        rows, columns = (two_resizes(*each) for each in zip(masks.shape[1:], *sizes, strict=True))
        boxes, rles = np.zeros((len(index), 4), np.float32), []
        for i, (mask, inside) in enumerate(zip(index.tolist(), places.tolist(), strict=True)):
            x, y, w, h = cv2.boundingRect(binary[inside].view(np.uint8))
            (y1, x1), (y2, x2) = zip(rows.reached(y, y + h), columns.reached(x, x + w), strict=True)
            window = np.zeros((0, 0), bool)
            if y1 < y2 and x1 < x2:
                (top, bottom), (left, right) = rows.sources(y1, y2), columns.sources(x1, x2)
                part = masks[mask, top:bottom, left:right]
                where = y1, y2, x1, x2
                window = above(part, (top, left), rows, columns, where, threshold=self.mask_thr, inclusive=False)
                x, y, w, h = cv2.boundingRect(window.view(np.uint8))
                if w:
                    boxes[i] = x1 + x, y1 + y, x1 + x + w, y1 + y + h
            rles.append(window_to_rle(window, x1, y1, sizes[-1]))
        return boxes, tuple(rles)
