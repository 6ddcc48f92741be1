"""A model's mask branch in the boxes of another detector (MEInst, Sec. 3.3, Table 1).

    given boxes ──► frame of the network's input ──┬──────────────────► RoI head (Mask R-CNN and its kin) ──► masks
                                                   └─► their locations ──► BoxedMaskHead ──────────────────► masks

Shape shorthand: N boxes of an image, M <= N masks, L levels, (H, W) original image.
"""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import NamedTuple

import torch
from mmdet.models.roi_heads import BaseRoIHead, SparseRoIHead, TridentRoIHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmagg.models.heads import BoxedMaskHead
from mmagg.models.postprocess import DetectedBoxes
from mmagg.models.targets import ATSSLocationAssigner, LocationAssigner, boxes_around, distances_to_sides
from mmagg.ops import chunk_size, masks_to_rle

OWN_BOXES = (SparseRoIHead, TridentRoIHead)  # masks from the queries that found the boxes; none after merging
MASK_BYTES = 512 * 2**20


class GivenBoxes(NamedTuple):
    """Boxes that another detector found in an image."""

    boxes: Tensor
    """(N, 4) float32 x1, y1, x2, y2 in pixels of the original image."""
    scores: Tensor
    """(N,), in any precision."""
    labels: Tensor
    """(N,) long, classes of the mask branch."""


class FilledBoxes(NamedTuple):
    """The masks of an image's boxes."""

    kept: list[int]
    """M of the N boxes, ascending: a box without an area in the image has no mask."""
    scores: list[float]
    """The scores of these M boxes, rescored by mask branches that do so (Mask Scoring R-CNN)."""
    masks: list[dict]
    """M of H x W, as RLE."""


MaskBranch = Callable[[Sequence[Tensor], DetDataSample, GivenBoxes], FilledBoxes]
"""The neck's outputs for an image, (1, C, h, w) per level, its sample and at least one box in it -> masks."""


def mask_branch(model: nn.Module) -> MaskBranch:
    """The part of a model that predicts masks in given boxes.

    Args:
        model: a trained detector in evaluation mode: mmdet's two-stage detectors with a mask head, or a
            `BoxedMaskHead`.

    Raises:
        ValueError: it has no part that predicts masks from boxes alone.
    """
    roi_head, head = getattr(model, 'roi_head', None), getattr(model, 'mask_head', None)
    if isinstance(roi_head, BaseRoIHead) and roi_head.with_mask and not isinstance(roi_head, OWN_BOXES):
        return partial(_by_regions, roi_head)
    if not isinstance(head, BoxedMaskHead):
        raise ValueError(
            f'{type(model).__name__} has no mask branch that takes boxes; give a two-stage detector with a mask head '
            '(Mask R-CNN, Cascade Mask R-CNN, HTC) or a BoxedMaskHead (BlendMask, MEInst)'
        )
    if head.masks is None:
        raise ValueError('its BoxedMaskHead finds boxes without masks; give a model with masks')
    if not isinstance(head.boxes.assigner, LocationAssigner | ATSSLocationAssigner):
        raise ValueError(f'a {type(head.boxes.assigner).__name__} does not tell which location a box belongs to')
    return partial(_by_locations, head)


@torch.no_grad()
def fill_boxes(branch: MaskBranch, feats: Sequence[Tensor], sample: DetDataSample, given: GivenBoxes) -> FilledBoxes:
    """The masks of an image's boxes, which are cut to the image.

    ``feats`` are the neck's outputs for this image, (1, C, h, w) per level; ``sample`` has `ori_shape`, `img_shape` and
    `scale_factor`.
    """
    height, width = sample.ori_shape[:2]
    boxes = given.boxes.clamp(min=0).minimum(given.boxes.new_tensor([width, height, width, height]))
    inside = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero().squeeze(1)
    if len(inside) == 0:
        return FilledBoxes([], [], [])
    filled = branch(feats, sample, GivenBoxes(boxes[inside], given.scores[inside], given.labels[inside]))
    return filled._replace(kept=inside[filled.kept].tolist())


# mmdet's two-stage detectors


def _by_regions(
    roi_head: BaseRoIHead, feats: Sequence[Tensor], sample: DetDataSample, given: GivenBoxes
) -> FilledBoxes:
    """Masks by an RoI head whose box prediction is replaced by the given boxes."""
    height, width = sample.ori_shape[:2]
    scale = given.boxes.new_tensor(sample.scale_factor).repeat(2)
    roi_head = copy(roi_head)  # with the same modules, but a `predict_bbox` of its own
    scores, masks = [], []
    for part in torch.arange(len(given.boxes)).split(chunk_size(height * width, MASK_BYTES)):
        boxes = InstanceData(bboxes=given.boxes[part] * scale, scores=given.scores[part], labels=given.labels[part])
        roi_head.predict_bbox = lambda *_, found=boxes, **__: [found]
        found = roi_head.predict(tuple(feats), [boxes], [sample], rescale=True)[0]
        scores += found.scores.tolist()
        masks += masks_to_rle(found.masks)
    return FilledBoxes(list(range(len(masks))), scores, masks)


# BlendMask and MEInst


def _by_locations(
    head: BoxedMaskHead, feats: Sequence[Tensor], sample: DetDataSample, given: GivenBoxes
) -> FilledBoxes:
    """Masks by a `BoxedMaskHead`: a box takes the coefficients of the location that is responsible for it."""
    img_shape, out_size = tuple(sample.img_shape[:2]), tuple(sample.ori_shape[:2])
    scale = given.boxes.new_tensor([img_shape[1] / out_size[1], img_shape[0] / out_size[0]]).repeat(2)
    boxes = given.boxes * scale
    maps, features, shared = head(feats)
    places = responsible_places(head.boxes.assigner, boxes, [x.shape[-2:] for x in maps.distances])
    detections = DetectedBoxes(boxes, given.scores, given.labels, places)
    logits = head.decode(features, shared, detections, 0)
    # `paste` leaves out boxes that rounding makes flat; places, which it selects too, number the boxes that are left.
    detections = detections._replace(places=torch.arange(len(boxes), device=boxes.device))
    post_process = copy(head.post_process)
    post_process.mask_format = 'rle'
    found = post_process.paste(logits, detections, img_shape=img_shape, out_size=out_size)
    return FilledBoxes(found.places.tolist(), found.scores.tolist(), found.masks)


def responsible_places(
    assigner: LocationAssigner | ATSSLocationAssigner, boxes: Tensor, sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """The location that is responsible for each box.

    Each level proposes the location nearest to the box's centre; the level that suits the box best is taken, the finest
    one among equals. `LocationAssigner`: the greatest distance from the location to a side of the box is in the level's
    range, or closest to it. `ATSSLocationAssigner`: the location's anchor has the greatest IoU with the box.

    Args:
        assigner: the head's.
        boxes: (N, 4) x1, y1, x2, y2 in pixels of the network's input.
        sizes: (h, w) of each level.

    Returns:
        (N,) long, counted over all levels, row-major within each.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    places, misfits, before = [], [], 0
    for level, ((height, width), stride) in enumerate(zip(sizes, assigner.strides, strict=True)):
        column, row = (centres / stride).long().unbind(1)
        column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
        points = (torch.stack([column, row], dim=1) + 0.5) * stride
        places.append(before + row * width + column)
        misfits.append(_misfit(assigner, level, points, boxes))
        before += height * width
    best = torch.stack(misfits, dim=1).argmin(1, keepdim=True)
    return torch.stack(places, dim=1).gather(1, best).squeeze(1)


def _misfit(assigner: LocationAssigner | ATSSLocationAssigner, level: int, points: Tensor, boxes: Tensor) -> Tensor:
    """(N,) misfits of a level to boxes (N, 4), given its locations (N, 2) nearest to their centres; 0 is best."""
    if isinstance(assigner, ATSSLocationAssigner):
        reach = points.new_tensor(assigner.anchor_scale * assigner.strides[level] / 2)
        return 1 - bbox_overlaps(boxes, boxes_around(points, reach.expand(len(points), 4)), is_aligned=True)
    low, high = assigner.ranges[level]
    farthest = distances_to_sides(points, boxes).amax(1)
    return (low - farthest).maximum(farthest - high).clamp(min=0)
