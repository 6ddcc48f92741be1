"""The Dice loss for heads that predict a mask per class, as Mask R-CNN's (SOLO, Sec. 3.3).

Shape shorthand: N objects, C classes, (H, W) mask size.
"""

import torch
from mmdet.models.losses.dice_loss import dice_loss
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ClassMaskDiceLoss(nn.Module):
    """SOLO's Dice loss (Eqs. 3 and 4) on the mask of each object's class, the mean over the objects.

    It takes the place of `CrossEntropyLoss(use_mask=True)` in mmdet's `FCNMaskHead`.

    Args:
        eps: added to both sums of squares.
        loss_weight: weight of the loss.
    """

    def __init__(self, *, eps: float = 1e-3, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.eps, self.loss_weight = eps, loss_weight

    def forward(self, mask_preds: Tensor, mask_targets: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) logits, (N, H, W) masks and (N,) classes -> scalar."""
        own = mask_preds[torch.arange(len(labels), device=labels.device), labels]
        return self.loss_weight * dice_loss(own.sigmoid(), mask_targets, eps=self.eps)
