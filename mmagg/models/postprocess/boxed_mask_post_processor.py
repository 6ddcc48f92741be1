"""The post-processor of `BoxedMaskHead`: NMS of boxes, and pasting of their masks.

Shape shorthand: Q locations of all levels, C classes, M detections, (r, r) mask size in a box, (H, W) original
image.
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.ops import all_windows_to_rle, budget_on, paste_masks, pasted_windows, upload
from mmagg.ops.stage import stage

FILTERS = ('score', 'class')
MASK_FORMATS = ('bitmap', 'rle')


class DetectedBoxes(NamedTuple):
    """The boxes of one image after NMS, in descending order of their scores."""

    boxes: Tensor
    """(M, 4) x1, y1, x2, y2 in pixels of the network's input."""
    scores: Tensor
    """(M,)."""
    labels: Tensor
    """(M,) classes."""
    places: Tensor
    """(M,) long, the boxes' locations, counted over all levels."""


class BoxedMaskPostProcessor:
    """Candidates, NMS of boxes and pasting, as in the FCOS that BlendMask and MEInst build on.

    Args:
        score_thr: threshold of a candidate, a pair of location and class, in [0, 1).
        filter_by: the value compared with it: 'score', class probability times centerness (BlendMask), or 'class', the
            class probability alone (MEInst).
        nms_pre: most candidates per level, those of the greatest class probability times centerness.
        iou_thr: IoU above which a box is suppressed by a better one of its class, in (0, 1].
        max_per_img: most detections per image.
        sqrt_score: score = √(class probability · centerness), as in the releases, else without the root (FCOS).
        clip_boxes: clip boxes to the image before NMS. The releases do not: they decode masks on whole boxes, then
            paste them into clipped ones.
        mask_thr: threshold of a pixel's probability, inclusive, in (0, 1).
        mask_format: 'bitmap', one bool tensor, or 'rle', COCO's compressed RLE, one dict per mask.
        byte_budget: bytes of the tensors of a chunk of masks; a chunk has at least one. None: 64 MiB on the CPU, a part
            of a GPU's memory (`mmagg.ops.budget_on`).

    Raises:
        TypeError: an unknown key in the model's `test_cfg`.
        ValueError: a value outside these ranges.
    """

    def __init__(
        self,
        *,
        score_thr: float = 0.05,
        filter_by: str = 'score',
        nms_pre: int = 1000,
        iou_thr: float = 0.6,
        max_per_img: int = 100,
        sqrt_score: bool = True,
        clip_boxes: bool = True,
        mask_thr: float = 0.5,
        mask_format: str = 'bitmap',
        byte_budget: int | None = None,
    ) -> None:
        for name, value, good, range_ in (
            ('score_thr', score_thr, 0 <= score_thr < 1, 'a number in [0, 1)'),
            ('filter_by', filter_by, filter_by in FILTERS, f'one of {FILTERS}'),
            ('nms_pre', nms_pre, nms_pre >= 1, 'at least 1'),
            ('iou_thr', iou_thr, 0 < iou_thr <= 1, 'a number in (0, 1]'),
            ('max_per_img', max_per_img, max_per_img >= 1, 'at least 1'),
            ('mask_thr', mask_thr, 0 < mask_thr < 1, 'a number in (0, 1)'),
            ('mask_format', mask_format, mask_format in MASK_FORMATS, f'one of {MASK_FORMATS}'),
            ('byte_budget', byte_budget, byte_budget is None or byte_budget >= 1, 'at least 1'),
        ):
            if not good:
                raise ValueError(f'BoxedMaskPostProcessor (test_cfg): {name} is {value!r}, expected {range_}')
        self.score_thr, self.filter_by, self.nms_pre, self.iou_thr = score_thr, filter_by, nms_pre, iou_thr
        self.max_per_img, self.sqrt_score, self.clip_boxes = max_per_img, sqrt_score, clip_boxes
        self.mask_thr, self.mask_format, self.byte_budget = mask_thr, mask_format, byte_budget

    @torch.no_grad()
    def detect(
        self,
        probs: Tensor,
        centerness: Tensor,
        boxes: Tensor,
        counts: Sequence[int],
        img_shape: tuple[int, int],
    ) -> DetectedBoxes:
        """Boxes of an image after NMS.

        Args:
            probs: (Q, C) class probabilities of the locations of all levels.
            centerness: (Q,) probabilities.
            boxes: (Q, 4) in pixels of the network's input.
            counts: the number of each level's locations.
            img_shape: (height, width) of the image in the network's input, without the padding.
        """
        product = probs * centerness[:, None]
        compared = product if self.filter_by == 'score' else probs
        places, labels = (compared > self.score_thr).nonzero(as_tuple=True)
        starts = list(accumulate(counts, initial=0))
        bounds = torch.searchsorted(places, upload(starts, places.device)).tolist()
        scores = product[places, labels]
        best = [part.topk(min(self.nms_pre, len(part))) for part in scores.split(list(map(sub, bounds[1:], bounds)))]
        scores = torch.cat([values for values, _ in best])
        first = np.repeat(bounds[:-1], [len(index) for _, index in best])
        chosen = torch.cat([index for _, index in best]) + upload(first, scores.device)
        places, labels = places[chosen], labels[chosen]
        corners = boxes[places]
        if self.sqrt_score:
            scores = scores.sqrt()
        if self.clip_boxes:
            corners = clipped(corners, img_shape)
        if len(corners) == 0:
            return DetectedBoxes(corners, scores, labels, places)
        # mmcv separates the classes by an offset of the greatest coordinate, which presumes non-negative coordinates.
        kept = batched_nms(corners - corners.amin(), scores, labels, dict(type='nms', iou_threshold=self.iou_thr))[1]
        kept = kept[: self.max_per_img]
        return DetectedBoxes(corners[kept], scores[kept], labels[kept], places[kept])

    @torch.no_grad()
    @stage('pasting')
    def paste(
        self, logits: Tensor | None, detections: DetectedBoxes, *, img_shape: tuple[int, int], out_size: tuple[int, int]
    ) -> InstanceData:
        """Instances of an image.

        Args:
            logits: (M, r, r) masks in the frames of the boxes; None: there are none, nor in the result.
            detections: the boxes.
            img_shape: (height, width) of the image in the network's input, without the padding.
            out_size: (H, W) of the original image, the masks' final size.

        Returns:
            `bboxes` (M', 4), `scores`, `labels`, `masks` (M', H, W) bool or M' RLE dicts, and `places`, of the boxes
            that overlap the image.
        """
        boxes, scores, labels, places = detections
        boxes = clipped(boxes, out_size, scale=(out_size[0] / img_shape[0], out_size[1] / img_shape[1]))
        kept = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero().squeeze(1)
        boxes = boxes[kept]
        found = InstanceData(bboxes=boxes, scores=scores[kept], labels=labels[kept], places=places[kept])
        if logits is None:
            return found
        probs = logits[kept].sigmoid()
        options: dict[str, Any] = dict(
            out_size=out_size, mask_thr=self.mask_thr, byte_budget=budget_on(boxes.device, self.byte_budget)
        )
        if self.mask_format == 'bitmap':
            found.masks = paste_masks(probs, boxes, **options)
        else:
            found.masks = all_windows_to_rle(pasted_windows(probs, boxes, **options), out_size)
        return found


def clipped(boxes: Tensor, size: tuple[int, int], *, scale: tuple[float, float] | None = None) -> Tensor:
    """(M, 4) boxes, scaled by factors of (height, width), then clipped to an image of (height, width)."""
    rows = [pair[::-1] * 2 for pair in ((0, 0), size, scale or (1, 1))]
    least, most, factor = upload(rows, boxes.device, dtype=boxes.dtype)
    return (boxes if scale is None else boxes * factor).clamp(least, most)
