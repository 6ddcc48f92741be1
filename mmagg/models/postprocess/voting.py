"""The mask voting of mmagg.ops, registered."""

from typing import Any

from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import mask_voting
from mmagg.ops.mask_voting import WEIGHTS


@TASK_UTILS.register_module()
class MaskVoting:
    """Mask voting (AggMask, Sec. 3.2 and Table 1); arguments as of `mmagg.ops.mask_voting`.

    Raises:
        ValueError: unknown `weight`, or an `iou_thr` outside [0, 1].
    """

    def __init__(self, *, weight: str, iou_thr: float, class_agnostic: bool = False) -> None:
        if weight not in WEIGHTS:
            raise ValueError(f'MaskVoting: weight is {weight!r}, expected one of {WEIGHTS}')
        if not 0 <= iou_thr <= 1:
            raise ValueError(f'MaskVoting: iou_thr is {iou_thr}, expected a number in [0, 1]')
        self.options: dict[str, Any] = dict(weight=weight, iou_thr=iou_thr, class_agnostic=class_agnostic)

    def __call__(self, probs: Tensor, iou: Tensor, scores: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
        """(N, H, W), (N, N), (N,), (N,), (M,) -> (M, H, W) probabilities."""
        return mask_voting(probs, iou, scores, labels, kept, **self.options)
