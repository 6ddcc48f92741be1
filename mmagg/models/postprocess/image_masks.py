"""RLE masks from mmdet's heads that predict a mask of the whole image: those of CondInst and RTMDet-Ins.

Their masks are resized by the same two steps as in mmdet, but as one linear map of the rows and one of the columns, and
only where they can be above the threshold.

Shape shorthand: N masks, (h, w) map size, (H, W) size of the result.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import CondInstMaskHead, RTMDetInsHead
from mmdet.models.utils import aligned_bilinear
from mmengine.structures import InstanceData
from torch import Tensor

from mmagg.ops import Taps, all_windows_to_rle, budget_on, mapped_windows, taps_of


def encoded_condinst_masks(
    head: CondInstMaskHead,
    _: Callable[..., Tensor],
    *,
    mask_preds: Tensor,
    bboxes: Tensor,
    img_meta: dict,
    rescale: bool,
    cfg: Any = None,
) -> list[dict]:
    """N dicts of RLE, for `CondInstMaskHead._predict_by_feat_single`; arguments as there.

    ``mask_preds`` are (N, h, w) logits and ``bboxes`` (N, 4), which it scales in place.
    """
    if rescale:
        bboxes /= bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
    sizes = zip(mask_preds.shape[1:], img_meta['img_shape'][:2], img_meta['ori_shape'][:2], strict=True)
    taps = [
        _condinst_taps(before, int(head.mask_out_stride), crop, after if rescale else None, mask_preds.device)
        for before, crop, after in sizes
    ]
    return _encoded(mask_preds.sigmoid(), taps, (cfg or head.test_cfg).mask_thr)


def encoded_rtmdet_masks(
    head: RTMDetInsHead,
    post_process: Callable[..., InstanceData],
    results: InstanceData,
    mask_feat: Tensor,
    cfg: Any,
    rescale: bool = False,
    with_nms: bool = True,
    *,
    img_meta: dict,
) -> InstanceData:
    """The instances of `RTMDetInsHead._bbox_mask_post_process`, with N dicts of RLE; arguments as there."""
    predict, found = head._mask_predict_by_feat_single, []

    def one_pixel_each(*args: Any) -> Tensor:
        found.append(predict(*args))
        return found[0].new_zeros(len(found[0]), 1, 1)

    head._mask_predict_by_feat_single = one_pixel_each  # what mmdet resizes, all at once
    try:
        results = post_process(results, mask_feat, cfg, rescale, with_nms, img_meta)
    finally:
        del head._mask_predict_by_feat_single
    if found:
        (logits,) = found
        stride = head.prior_generator.strides[0][0]
        ends: list[tuple] = [(None, None)] * 2
        if rescale:
            scales = [1 / scale for scale in img_meta['scale_factor'][::-1]]
            between = [math.ceil(stride * n * scale) for n, scale in zip(logits.shape[1:], scales, strict=True)]
            ends = list(zip(between, img_meta['ori_shape'][:2], strict=True))
        taps = [_rtmdet_taps(n, stride, *end, logits.device) for n, end in zip(logits.shape[1:], ends, strict=True)]
        results.masks = _encoded(logits, taps, math.log(cfg.mask_thr_binary / (1 - cfg.mask_thr_binary)))
    return results


def _encoded(maps: Tensor, taps: list[Taps], threshold: float) -> list[dict]:
    """(N, h, w), the linear maps of rows and of columns, and the threshold of a pixel -> N dicts of RLE."""
    rows, columns = taps
    windows = mapped_windows(maps, rows, columns, mask_thr=threshold, byte_budget=budget_on(maps.device, None))
    return all_windows_to_rle((some for some, _ in windows), (len(rows.start), len(columns.start)))


@lru_cache(maxsize=256)  # data sets have few image sizes
@torch.no_grad()
def _condinst_taps(before: int, stride: int, crop: int, after: int | None, device: torch.device) -> Taps:
    """An axis of `CondInstMaskHead`: resized with aligned corners, cropped, and resized to the original image."""
    x = aligned_bilinear(_pixels(before, device), stride)[:, :, :crop, :1]
    if after is not None:
        x = F.interpolate(x, size=(after, 1), mode='bilinear', align_corners=False)
    return taps_of(x[0, :, :, 0].t())


@lru_cache(maxsize=256)
@torch.no_grad()
def _rtmdet_taps(before: int, stride: int, between: int | None, crop: int | None, device: torch.device) -> Taps:
    """An axis of `RTMDetInsHead`: resized to the network's input, then with the original image's scale, and cropped."""
    x = F.interpolate(_pixels(before, device), scale_factor=(stride, 1), mode='bilinear')
    if between is not None:
        x = F.interpolate(x, size=(between, 1), mode='bilinear', align_corners=False)
    return taps_of(x[0, :, :crop, 0].t())


def _pixels(length: int, device: torch.device) -> Tensor:
    """Maps (1, L, L, 1) of one column, in each of which one pixel is 1."""
    return torch.eye(length, device=device)[None, :, :, None]
