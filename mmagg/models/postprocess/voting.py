"""The mask voting of mmagg.ops as a registered part."""

from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmagg.ops import mask_voting
from mmagg.ops.mask_voting import WEIGHTS


@TASK_UTILS.register_module()
class MaskVoting:
    """Mask voting (AggMask, Table 1); see `mmagg.ops.mask_voting`.

    Args:
        weight: `'avg'`, `'score'` or `'iou'`.
        iou_thr: smallest IoU of a voter with the kept mask, in [0, 1]. No default: the paper searches for it.
        class_agnostic: let candidates of all classes vote.

    Raises:
        ValueError: a value outside these ranges.
    """

    def __init__(self, *, weight: str, iou_thr: float, class_agnostic: bool = False) -> None:
        if weight not in WEIGHTS:
            raise ValueError(f'MaskVoting: weight is {weight!r}, expected one of {WEIGHTS}')
        if not 0 <= iou_thr <= 1:
            raise ValueError(f'MaskVoting: iou_thr is {iou_thr}, expected a number in [0, 1]')
        self.weight = weight
        self.iou_thr = iou_thr
        self.class_agnostic = class_agnostic

    def __call__(self, probs: Tensor, iou: Tensor, scores: Tensor, labels: Tensor, kept: Tensor) -> Tensor:
        """(N, H, W), (N, N), (N,), (N,), (M,) -> (M, H, W) probabilities."""
        return mask_voting(
            probs,
            iou,
            scores,
            labels,
            kept,
            weight=self.weight,
            iou_thr=self.iou_thr,
            class_agnostic=self.class_agnostic,
        )
