"""BlendMask, MEInst and FCOS as one function of an image, with fixed shapes.

Shape shorthand: B images, N candidates, L levels, q locations of a level, C classes, R mask size, (H, W) network input.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmagg.export.candidates import best, best_pairs_by_level
from mmagg.export.plain_ops import Windows, conv_of_windows, nms, roi_align, rows_of
from mmagg.models.heads import BoxedMaskHead
from mmagg.models.masks.boxed.blendmask import BlendMaskMasks
from mmagg.models.masks.boxed.boxed_masks import Regions
from mmagg.models.masks.boxed.coefficients import Coefficients
from mmagg.models.targets import boxes_around, location_points


class BoxedGraph(nn.Module):
    """From normalised, padded images (B, 3, H, W) to the candidates of a `BoxedMaskHead` and their masks.

    Candidates are what NMS leaves, so that there are masks of no other boxes.

    Args:
        model: the detector, with modules of `exportable`.
        candidates: N; more than the detections of an image, or than all levels have, are of no use.
    """

    def __init__(self, model: Any, *, candidates: int) -> None:
        super().__init__()
        head: BoxedMaskHead = model.mask_head
        self.model = model
        most = len(head.boxes.strides) * head.post_process.nms_pre
        self.candidates = min(candidates, head.post_process.max_per_img, most)
        self.outputs = ('boxes', 'scores', 'labels') + (('masks',) if head.masks is not None else ())
        self.inputs = ('images', 'limits') if head.post_process.clip_boxes else ('images',)

    def forward(self, images: Tensor, limits: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> `boxes` (B, N, 4), `scores` (B, N), `labels` (B, N), `masks` (B, N, R, R) logits.

        Args:
            images: normalised and padded.
            limits: (B, 4) or (1, 4) width, height, width, height without the padding, where boxes are clipped to them.
        """
        head: BoxedMaskHead = self.model.mask_head
        feats = self.model.extract_feat(images)
        maps, features = head.find(feats)
        scores = []
        for logits, centre in zip(maps.cls_logits, maps.centerness, strict=True):
            probs, centerness = (x.flatten(2).transpose(1, 2).float().sigmoid() for x in (logits, centre))
            product = probs * centerness
            compared = product if head.post_process.filter_by == 'score' else probs
            scores.append(product * (compared > head.post_process.score_thr))
        pairs = best_pairs_by_level(scores, head.post_process.nms_pre)
        strides = head.boxes.strides
        points = location_points([x.shape[2:] for x in maps.distances], strides, images.device)
        around = [
            boxes_around(at, stride * x.flatten(2).transpose(1, 2))
            for at, stride, x in zip(points, strides, maps.distances, strict=True)
        ]
        boxes = rows_of(torch.cat(around, dim=1), pairs.places)
        if limits is not None:
            boxes = boxes.clamp(min=0).minimum(limits[:, None])
        of_class = pairs.labels[:, None] == torch.arange(scores[0].shape[2])[:, None]
        kept = nms(boxes, pairs.scores[:, None] * of_class, head.post_process.iou_thr)
        found, index = best(pairs._replace(scores=pairs.scores * kept), self.candidates)
        boxes = rows_of(boxes, index)
        outputs = boxes, found.scores, found.labels
        if head.masks is None:
            return outputs
        number = self.candidates
        image = torch.arange(images.shape[0]).repeat_interleave(number)
        rois = torch.cat([image[:, None].to(boxes), boxes.flatten(0, 1)], dim=1)
        coefficients = (
            None
            if head.coefficients is None
            else coefficients_at(head.coefficients, features, found.places).flatten(0, 1)
        )
        shared = head.shared(feats)
        logits = decoded(head.masks, coefficients, Regions(rois, found.labels.flatten(), shared))
        return *outputs, logits.unflatten(0, (-1, number))


def coefficients_at(module: Coefficients, features: Any, places: Tensor) -> Tensor:
    """`Coefficients.at` with places (B, N) of each image, counted over the levels -> (B, N, D)."""
    if module.dense:
        everywhere = torch.cat([x.flatten(2) for x in features], dim=2).transpose(1, 2)
        return rows_of(everywhere, places)
    weight = module.conv.get_parameter('weight')
    return conv_of_windows(Windows(features, weight.shape[-1]).at(places), weight, module.conv.get_parameter('bias'))


def decoded(masks: Any, coefficients: Tensor | None, regions: Regions) -> Tensor:
    """`BoxedMasks.decode`, with ONNX's RoIAlign."""
    if not isinstance(masks, BlendMaskMasks):
        return masks.decode(coefficients, regions)
    pooled = roi_align(regions.shared, regions.rois, masks.mask_size, 1 / masks.stride, masks.pooling == 'align')
    return masks.merge(pooled, coefficients)
