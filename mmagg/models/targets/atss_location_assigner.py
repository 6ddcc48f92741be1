"""The assignment of objects to locations by the statistics of their anchors' IoU (ATSS, Alg. 1).

Shape shorthand: G objects of one image, K candidates of an object, Q locations over all levels, row-major within each,
q of them on one level.
"""

from collections.abc import Sequence

import torch
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmagg.models.targets.location_assigner import boxes_around, distances_to_sides


@TASK_UTILS.register_module()
class ATSSLocationAssigner:
    """Adaptive training sample selection.

    An object's candidates are its nearest locations on each level. Those inside its box are positive whose anchors have
    an IoU with it of at least the candidates' mean plus standard deviation. A location with several objects takes that
    of the greatest IoU. The anchors, one square per location, serve the assignment only: boxes are regressed from
    points.

    Args:
        strides: pixels per cell of each level.
        topk: candidates per level.
        anchor_scale: side of the anchors in strides.
    """

    def __init__(self, *, strides: Sequence[int], topk: int = 9, anchor_scale: float = 8.0) -> None:
        self.strides, self.topk, self.anchor_scale = tuple(strides), topk, anchor_scale

    def assign(self, points: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """(Q,) objects of an image's locations; arguments and result as in `LocationAssigner.assign`."""
        number = sum(map(len, points))
        if len(boxes) == 0:
            return torch.full((number,), -1, device=boxes.device)
        nearby, around, before = [], [], 0
        for level_points, stride in zip(points, self.strides, strict=True):
            nearest = self._nearest(level_points, boxes)
            nearby.append(nearest + before)
            reach = level_points.new_full((4,), self.anchor_scale * stride / 2)
            around.append(boxes_around(level_points[nearest], reach.expand(*nearest.shape, 4)))
            before += len(level_points)
        candidates, anchors = torch.cat(nearby, dim=1), torch.cat(around, dim=1)  # (G, K), (G, K, 4)
        ious = bbox_overlaps(boxes[:, None], anchors).squeeze(1)
        # The standard deviation of a single candidate is 0.
        threshold = ious.mean(1, keepdim=True) + ious.std(1, keepdim=True).nan_to_num()
        at = torch.cat(list(points))[candidates]
        inside = distances_to_sides(at, boxes[:, None]).amin(-1) > 0.01  # as in the release
        taken = torch.where((ious >= threshold) & inside, ious, -1)
        most, gts = ious.new_full((len(boxes), number), -1).scatter_(1, candidates, taken).max(0)
        return torch.where(most < 0, -1, gts)

    def _nearest(self, points: Tensor, boxes: Tensor) -> Tensor:
        """(G, topk) indices of a level's (q, 2) locations nearest to the boxes' centres."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        distances = (points - centres[:, None]).square().sum(-1)  # (G, q)
        return distances.topk(min(self.topk, len(points)), dim=1, largest=False).indices
