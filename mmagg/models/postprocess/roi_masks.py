"""RLE masks from mmdet's RoI mask heads: those of Mask R-CNN, Cascade Mask R-CNN, HTC, ...

Shape shorthand: N masks, C classes, (r, r) mask size in a box, (H, W) original image.
"""

from collections.abc import Callable
from typing import Any

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import Tensor

from mmagg.ops import chunk_size, masks_to_rle

CHUNK_BYTES = 64 * 2**20


def encoded_roi_masks(
    _: FCNMaskHead,
    paste: Callable[..., Tensor],
    *,
    mask_preds: Tensor,
    bboxes: Tensor,
    labels: Tensor,
    img_meta: dict,
    **others: Any,
) -> list[dict]:
    """N dicts of RLE, by `FCNMaskHead._predict_by_feat_single`; arguments as there. Masks are pasted a few at a time.

    ``mask_preds`` are (N, C, r, r), ``bboxes`` (N, 4), which it scales in place, and ``labels`` (N,).
    """
    height, width = img_meta['ori_shape'][:2]
    number = chunk_size(height * width, CHUNK_BYTES)
    parts = zip(*(values.split(number) for values in (mask_preds, bboxes, labels)), strict=True)
    return [
        rle
        for logits, boxes, classes in parts
        if len(boxes)
        for rle in masks_to_rle(paste(mask_preds=logits, bboxes=boxes, labels=classes, img_meta=img_meta, **others))
    ]
