"""Non-maximum suppression on masks: Matrix NMS (SOLOv2) and hard NMS (SOLO).

Both take the IoU matrix, which mask voting shares.

Shape shorthand: N masks, in descending order of their scores.
"""

import torch
from torch import Tensor

from mmagg.ops.upload import upload

KERNELS = ('gaussian', 'linear')


def matrix_nms(
    iou: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    kernel: str = 'gaussian',
    sigma: float = 2.0,
    class_agnostic: bool = False,
) -> Tensor:
    """Matrix NMS: decay each score by the overlap with better masks (SOLOv2, "Matrix NMS").

        decay_j = min over i with s_i > s_j of f(iou_ij) / f(iou_·i),   iou_·i = max over k with s_k > s_i of iou_ki
        f(x) = exp(-sigma · x²) (gaussian) or 1 - x (linear)

    The denominator lets a mask that is itself suppressed suppress others less.

    Args:
        iou: (N, N) IoU of the masks.
        scores: (N,) in descending order.
        labels: (N,) classes; masks of different classes do not suppress each other.
        kernel: `'gaussian'` or `'linear'`.
        sigma: strength of the gaussian kernel.
        class_agnostic: let masks of all classes suppress each other.

    Returns:
        (N,) decayed scores, in the order given. With the linear kernel, a copy of a better mask gets 0.

    Raises:
        ValueError: unknown `kernel`.
    """
    if kernel not in KERNELS:
        raise ValueError(f'kernel is {kernel!r}; Matrix NMS has {" and ".join(map(repr, KERNELS))}')
    if len(scores) == 0:
        return scores
    overlap = (iou * _may_suppress(labels, class_agnostic)).triu(diagonal=1)  # (i, j): i better than j
    compensation = overlap.amax(0)
    if kernel == 'gaussian':
        kept = torch.cat([overlap, compensation[None]]).square_().mul_(-sigma).exp_()
        decay = kept[:-1] / kept[-1][:, None]
    else:
        # 0 / 0: j equals i, which equals a better mask; j's decay by that one is 0.
        decay = ((1 - overlap) / (1 - compensation[:, None])).nan_to_num(nan=0.0, posinf=torch.inf)
    return scores * decay.amin(0)


def mask_nms(
    iou: Tensor, scores: Tensor, labels: Tensor, *, iou_thr: float = 0.5, class_agnostic: bool = False
) -> Tensor:
    """Hard NMS, as in SOLO: drop each mask that overlaps a better, kept one.

    Args:
        iou: (N, N) IoU of the masks.
        scores: (N,) in descending order.
        labels: (N,) classes; masks of different classes do not suppress each other.
        iou_thr: IoU with a better, kept mask above which a mask is dropped.
        class_agnostic: let masks of all classes suppress each other.

    Returns:
        (N,) bool, true for the masks to keep.
    """
    # Whether i suppresses j depends on whether i is kept: a loop, on the CPU, so that a GPU is waited for once.
    suppresses = ((iou > iou_thr) & _may_suppress(labels, class_agnostic)).triu(diagonal=1).cpu()
    dropped = torch.zeros(len(scores), dtype=torch.bool)
    for i in range(len(scores)):
        if not dropped[i]:
            dropped |= suppresses[i]
    return ~upload(dropped, iou.device)


def _may_suppress(labels: Tensor, class_agnostic: bool) -> Tensor:
    """(N, N) bool: the pairs of one class, or all pairs."""
    if class_agnostic:
        labels = torch.zeros_like(labels)
    return labels[:, None] == labels[None]
