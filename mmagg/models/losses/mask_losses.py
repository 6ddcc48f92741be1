"""The reduction of mask losses, and a loss of codes that mmdet does not have.

Heads call a mask loss as (predictions, targets, reduction_override='none') on N masks or codes.
"""

import torch.nn.functional as F
from mmdet.models.losses.utils import weighted_loss
from mmdet.registry import MODELS
from torch import Tensor, nn


def per_mask(losses: Tensor) -> Tensor:
    """One loss per mask: (N,) as it is, (N, H, W) as the mean over the pixels."""
    return losses if losses.ndim == 1 else losses.flatten(1).mean(1)


@weighted_loss
def cosine_distance(pred: Tensor, target: Tensor) -> Tensor:
    """1 - cosine similarity of (N, D) and (N, D) -> (N,)."""
    return 1 - F.cosine_similarity(pred, target)


@MODELS.register_module()
class CosineDistanceLoss(nn.Module):
    """The cosine distance of codes (MEInst, Table 4).

    Args:
        reduction: 'mean', 'sum' or 'none'.
        loss_weight: weight of the loss.
    """

    def __init__(self, *, reduction: str = 'mean', loss_weight: float = 1.0) -> None:
        super().__init__()
        self.reduction, self.loss_weight = reduction, loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """(N, D), (N, D) and, as in mmdet's losses, (N,) weights -> scalar, or (N,) for 'none'."""
        reduction = reduction_override or self.reduction
        return self.loss_weight * cosine_distance(pred, target, weight, reduction=reduction, avg_factor=avg_factor)
