"""IoU of two boxes that share a point, from the distances of that point to their sides (FCOS, UnitBox).

Shape shorthand: N pairs of boxes; distances are left, top, right, bottom.
"""

from mmdet.registry import MODELS
from torch import Tensor, nn

KINDS = ('iou', 'linear_iou', 'giou')


def distance_iou(pred: Tensor, target: Tensor, *, smooth: float = 1.0) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU.

    Args:
        pred: (N, 4) distances, at least 0, in any unit.
        target: (N, 4) distances in the same unit.
        smooth: added to intersection and union, in square units. The releases add 1 to distances in strides, which
            favours small boxes; 0 gives the definitions.

    Returns:
        (N,) IoU = (I + smooth) / (U + smooth) and (N,) GIoU = IoU - (C - U) / C, where I, U and C are the areas of the
        intersection, the union and the smallest enclosing box.
    """
    inner, outer = pred.minimum(target), pred.maximum(target)
    intersection, around = area(inner), area(outer)
    union = area(pred) + area(target) - intersection
    iou = (intersection + smooth) / (union + smooth)
    return iou, iou - (around - union) / around.clamp(min=1e-7)


def area(distances: Tensor) -> Tensor:
    """(N, 4) distances to the sides -> (N,) area of the box."""
    left, top, right, bottom = distances.unbind(-1)
    return (left + right) * (top + bottom)


@MODELS.register_module()
class DistanceIoULoss(nn.Module):
    """-ln IoU, 1 - IoU or 1 - GIoU of boxes given as distances.

    Args:
        kind: 'iou', 'linear_iou' or 'giou'.
        smooth: see `distance_iou`.
        loss_weight: weight of the loss.

    Raises:
        ValueError: if `kind` is none of the three.
    """

    def __init__(self, *, kind: str = 'giou', smooth: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f'DistanceIoULoss: kind is {kind!r}; it must be one of {KINDS}')
        self.kind, self.smooth, self.loss_weight = kind, smooth, loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Weighted sum over the pairs.

        Args:
            pred: (N, 4) distances.
            target: (N, 4) distances.
            weight: (N,) factor of each pair.

        Returns:
            scalar; 0, with a gradient, for N = 0.
        """
        iou, giou = distance_iou(pred, target, smooth=self.smooth)
        if self.kind == 'iou':
            losses = -iou.clamp(min=1e-6).log()
        else:
            losses = 1 - (giou if self.kind == 'giou' else iou)
        return self.loss_weight * (losses * weight).sum()
