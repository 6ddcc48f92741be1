"""RLE masks from mmdet's heads."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mmdet.models.dense_heads import CondInstMaskHead, RTMDetInsHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from torch import nn

from mmagg.models.postprocess.image_masks import encoded_condinst_masks, encoded_rtmdet_masks
from mmagg.models.postprocess.roi_masks import encoded_roi_masks

# What mmdet's method of a head is replaced with: it gets the head, the method, and the method's arguments.
ENCODED: dict[type[nn.Module], tuple[str, Callable[..., Any]]] = {
    FCNMaskHead: ('_predict_by_feat_single', encoded_roi_masks),
    CondInstMaskHead: ('_predict_by_feat_single', encoded_condinst_masks),
    RTMDetInsHead: ('_bbox_mask_post_process', encoded_rtmdet_masks),
}


def encode_masks(model: nn.Module) -> None:
    """Let mmdet's mask heads in a built model return RLE, N dicts, instead of (N, H, W) bool; in place.

    These are the heads of Mask R-CNN, Cascade Mask R-CNN, HTC, PointRend, QueryInst, CondInst, BoxInst and RTMDet-Ins.
    Masks are the same, but a few at a time: all of a large image fill the memory.
    """
    for module in model.modules():
        for kind, (name, encoded) in ENCODED.items():
            if isinstance(module, kind):
                setattr(module, name, partial(encoded, module, getattr(module, name)))
