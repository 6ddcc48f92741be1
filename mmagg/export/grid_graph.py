"""SOLO, Decoupled SOLO, SOLOv2 and AggMask as one function of an image, with fixed shapes.

Shape shorthand: B images, N candidates, (H, W) network input, (h, w) size of the masks.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmagg.export.candidates import best_pairs, by_place
from mmagg.export.grid_masks import candidate_probs
from mmagg.models.heads import GridMaskHead
from mmagg.models.heads.grid_mask_head import cells_first
from mmagg.ops import points_nms


class GridGraph(nn.Module):
    """From normalised, padded images (B, 3, H, W) to the candidates of a `GridMaskHead` and their masks.

    Args:
        model: the detector, with modules of `exportable`.
        candidates: N, at most the number of cells times classes.
    """

    inputs = ('images',)
    outputs = ('scores', 'labels', 'min_areas', 'masks')

    def __init__(self, model: Any, *, candidates: int) -> None:
        super().__init__()
        self.model, self.candidates = model, candidates
        head: GridMaskHead = model.mask_head
        sizes = torch.tensor([side**2 for side in head.grids])
        self.min_areas = torch.tensor(head.strides).float().repeat_interleave(sizes)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> `scores` (B, N), `labels` (B, N), `min_areas` (B, N), `masks` (B, N, h, w) probabilities.

        Those with a score of 0 are no candidates: others did not pass the threshold.
        """
        head: GridMaskHead = self.model.mask_head
        cls_logits, masks = head(self.model.extract_feat(images))
        scores = [x.float().sigmoid() for x in cls_logits]
        if head.post_process.points_nms:
            scores = [points_nms(x) for x in scores]
        pairs = cells_first(scores)
        asked = pairs * (pairs > head.post_process.score_thr)
        best = by_place(best_pairs(asked, self.candidates), head.num_classes, len(self.min_areas))
        probs = candidate_probs(masks, head.grids, head.mask_branch.grids, best.places, best.scores > 0)
        return best.scores, best.labels, self.min_areas[best.places], probs
