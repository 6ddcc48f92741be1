"""Non-maximum suppression on masks: Matrix NMS (SOLOv2, Sec. 3.4) and hard NMS (SOLO).

Both take the IoU matrix, so that one matrix serves NMS and voting.

Shape shorthand: N masks, in descending order of their scores.
"""

import torch
from torch import Tensor

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
    """Matrix NMS: decay each score by the overlap with better masks (SOLOv2, Eq. 4 and 5).

    `decay_j = min_i f(iou_ij) / f(iou_·i)` over the masks i with a better score than j, where `iou_·i` is the
    largest IoU of i with a mask better than i (a mask that is itself suppressed should not suppress others);
    `f(x) = exp(-sigma·x²)` (gaussian) or `1 - x` (linear).

    Args:
        iou: (N, N) IoU of the masks.
        scores: (N,) in descending order.
        labels: (N,) classes; masks of different classes leave each other alone.
        kernel: `'gaussian'` or `'linear'`.
        sigma: strength of the gaussian kernel.
        class_agnostic: let masks of all classes suppress each other.

    Returns:
        (N,) decayed scores, in the order given. With the linear kernel each copy of a better mask gets 0.

    Raises:
        ValueError: unknown `kernel`.
    """
    if kernel not in KERNELS:
        raise ValueError(f'kernel is {kernel!r}; Matrix NMS has {" and ".join(map(repr, KERNELS))}')
    if len(scores) == 0:
        return scores
    overlap = (iou * _may_suppress(labels, class_agnostic)).triu(diagonal=1)  # (i, j): i better than j
    compensation = overlap.amax(0)[:, None]
    if kernel == 'gaussian':
        decay = torch.exp(-sigma * overlap**2) / torch.exp(-sigma * compensation**2)
    else:
        # 0 / 0: j equals i, which equals a better mask; j's decay by that one is 0.
        decay = ((1 - overlap) / (1 - compensation)).nan_to_num(nan=0.0, posinf=torch.inf)
    return scores * decay.amin(0)


def mask_nms(
    iou: Tensor, scores: Tensor, labels: Tensor, *, iou_thr: float = 0.5, class_agnostic: bool = False
) -> Tensor:
    """Hard NMS, the SOLO paper's: drop each mask that overlaps a better one which is kept.

    Args:
        iou: (N, N) IoU of the masks.
        scores: (N,) in descending order.
        labels: (N,) classes; masks of different classes leave each other alone.
        iou_thr: a mask goes if its IoU with a kept, better one is above this.
        class_agnostic: let masks of all classes suppress each other.

    Returns:
        (N,) bool, true for the masks to keep.
    """
    # Whether i suppresses j depends on whether i lives: a loop, on the CPU, so that a GPU is waited for once.
    suppresses = ((iou > iou_thr) & _may_suppress(labels, class_agnostic)).triu(diagonal=1).cpu()
    dropped = torch.zeros(len(scores), dtype=torch.bool)
    for i in range(len(scores)):
        if not dropped[i]:
            dropped |= suppresses[i]
    return ~dropped.to(iou.device)


def _may_suppress(labels: Tensor, class_agnostic: bool) -> Tensor:
    """(N, N) bool: the pairs of one class, or all pairs."""
    if class_agnostic:
        labels = torch.zeros_like(labels)
    return labels[:, None] == labels[None]
