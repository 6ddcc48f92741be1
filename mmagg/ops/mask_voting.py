"""Mask voting (AggMask, Sec. 3.2 and Table 1): a kept mask becomes the mean of the candidates that agree with it.

Shape shorthand: N candidates, M of them kept, (H, W) mask size.
"""

import torch
from torch import Tensor

WEIGHTS = ('avg', 'score', 'iou')


def mask_voting(
    probs: Tensor,
    iou: Tensor,
    scores: Tensor,
    labels: Tensor,
    kept: Tensor,
    *,
    weight: str = 'avg',
    iou_thr: float,
    class_agnostic: bool = False,
) -> Tensor:
    """Replace each kept mask by the weighted mean of its voters.

    Voters are the mask itself, and the candidates of its class with an IoU of at least `iou_thr` with it.

    Args:
        probs: (N, H, W) mask probabilities.
        iou: (N, N) IoU of the binary masks.
        scores: (N,) positive scores, before suppression.
        labels: (N,) classes.
        kept: (M,) long, indices of the masks to refine.
        weight: `'avg'` (all votes count the same), `'score'` (by the voter's score) or `'iou'` (by its IoU
            with the kept mask).
        iou_thr: smallest IoU of a voter with the kept mask; the paper searches for it.
        class_agnostic: let candidates of all classes vote.

    Returns:
        (M, H, W) probabilities.

    Raises:
        ValueError: unknown `weight`.
    """
    if weight not in WEIGHTS:
        raise ValueError(f'weight is {weight!r}; mask voting has {", ".join(map(repr, WEIGHTS))}')
    iou = iou[kept]  # (M, N)
    votes = iou >= iou_thr
    if not class_agnostic:
        votes &= labels[kept][:, None] == labels
    itself = torch.zeros_like(votes).scatter_(1, kept[:, None], True)  # an empty mask has IoU 0 with itself
    votes |= itself
    if weight == 'score':
        votes = votes * scores
    elif weight == 'iou':
        votes = votes * iou.masked_fill(itself, 1)
    votes = votes.to(probs.dtype)
    votes = votes / votes.sum(1, keepdim=True)
    voted = probs.new_zeros(len(kept), *probs.shape[1:])
    voted.flatten(1).addmm_(votes, probs.flatten(1))  # in place: autocast would average in half precision
    return voted
