"""BoxInst's losses, by which masks are learnt from boxes (BoxInst, Sec. 3).

    L = L_proj + L_pairwise
    L_proj = Dice(max over columns m̃, max over columns b) + Dice(max over rows m̃, max over rows b)
    L_pairwise = -1 / N Σ log P(y_i = y_j)   over the N pairs of like colours with i in the box
    P(y_i = y_j) = m̃_i m̃_j + (1 - m̃_i)(1 - m̃_j)

m̃ are the mask's probabilities and b is the box.

Shape shorthand: P masks of (H, W) pixels.
"""

import torch
import torch.nn.functional as F
from mmdet.models.losses.dice_loss import dice_loss
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmagg.ops.pixel_pairs import STEPS, at_neighbour


def projection_loss(logits: Tensor, boxes: Tensor, *, eps: float = 5e-6) -> Tensor:
    """The shadows of a mask on both axes against those of its box.

    Args:
        logits: (P, H, W).
        boxes: (P, H, W), 1 inside.
        eps: added to both sums of squares of the Dice loss.

    Returns:
        (P,), 0 to 2.
    """
    shadows = ((logits.amax(dim).sigmoid(), boxes.amax(dim)) for dim in (1, 2))
    across, down = (dice_loss(ours, theirs, eps=eps, reduction='none') for ours, theirs in shadows)
    return across + down


def pairwise_loss(logits: Tensor, boxes: Tensor, alike: Tensor) -> Tensor:
    """The mean of -log P(y_i = y_j) over a mask's pairs; one with both pixels in the box counts twice, as i and as j.

    Args:
        logits: (P, H, W).
        boxes: (P, H, W), 1 inside.
        alike: (P, 4, H, W), 1 for the pairs of `STEPS` whose colours are alike.

    Returns:
        (P,); 0 without pairs.
    """
    log_in, log_out = F.logsigmoid(logits), F.logsigmoid(-logits)
    total, pairs = logits.new_zeros(len(logits)), logits.new_zeros(len(logits))
    for step, same_colour in zip(STEPS, alike.unbind(1), strict=True):
        log_same = torch.logaddexp(log_in + at_neighbour(log_in, step), log_out + at_neighbour(log_out, step))
        counts = same_colour * (boxes + at_neighbour(boxes, step))
        total = total - (counts * log_same).sum((1, 2))
        pairs = pairs + counts.sum((1, 2))
    return total / pairs.clamp(min=1)


@MODELS.register_module()
class BoxInstLoss(nn.Module):
    """The sum of both losses of each mask; the pairwise loss grows from 0 in the first iterations of a training.

    Outside of a training it has its whole weight.

    Args:
        warmup: iterations until the pairwise loss has its whole weight; 0: it has it from the start.
        pairwise_weight: weight of the pairwise loss.
        eps: see `projection_loss`.
        reduction: 'mean', 'sum' or 'none', over the masks.
        loss_weight: weight of the sum.
    """

    def __init__(
        self,
        *,
        warmup: int = 10000,
        pairwise_weight: float = 1.0,
        eps: float = 5e-6,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.warmup, self.pairwise_weight, self.eps = warmup, pairwise_weight, eps
        self.reduction, self.loss_weight = reduction, loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """(P, H, W) logits, (P, 1 + 4, H, W) of `BoxInstTargets` and (P,) weights -> scalar, or (P,) for 'none'."""
        logits, target = pred.float(), target.float()
        boxes, alike = target[:, 0], target[:, 1:]
        losses = projection_loss(logits, boxes, eps=self.eps)
        losses = losses + self.pairwise_weight * self.grown * pairwise_loss(logits, boxes, alike)
        return self.loss_weight * weight_reduce_loss(losses, weight, reduction_override or self.reduction, avg_factor)

    @property
    def grown(self) -> float:
        """The share of the pairwise loss's weight in this iteration."""
        iteration = MessageHub.get_current_instance().get_info('iter', self.warmup)
        return min(iteration / self.warmup, 1.0) if self.warmup else 1.0
