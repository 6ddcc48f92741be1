"""One image through a detector, up to what its heads predict, for counting: only shapes matter.

Shape shorthand: C channels, S grid side, Q cells or locations of all levels, N candidates, (H, W) image size.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import BaseDetector
from mmdet.models.roi_heads import (
    BaseRoIHead,
    CascadeRoIHead,
    HybridTaskCascadeRoIHead,
    SingleRoIExtractor,
    StandardRoIHead,
)
from torch import Tensor

from mmagg.costs.random_model import random_batch
from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.layers.conv_tower import DeformableConvModule
from mmagg.models.masks import (
    BlendMaskMasks,
    DecoupledSOLOMaskBranch,
    DynamicParameters,
    SOLOMaskBranch,
    SOLOv2MaskBranch,
    StaticParameters,
)
from mmagg.models.postprocess import DetectedBoxes

BOX_ROIS, MASK_ROIS = 1000, 100  # regions of a two-stage detector, as MMDetection v1 counts them
OBJECTS = 10  # in the image, for detectors that want to see some


def forward_pass(model: BaseDetector, images: Tensor, *, dense: bool, candidates: int | None = None) -> None:
    """Run a detector, without post-processing; in a way that runs on the meta device if its operations allow that.

    Args:
        model: a detector, in evaluation mode; on the meta device one `without_values`.
        images: (1, 3, H, W).
        dense: let a `GridMaskHead` call its modules for the masks of all cells, and a `BoxedMaskHead` for the
            coefficients of all locations, as the originals do; otherwise they decode the masks of `candidates` of
            them, evenly spread over all levels.
        candidates: N; only without `dense` and for these heads.

    Raises:
        ValueError: `candidates` is not between 1 and Q.
        TypeError: a head that is not known here.
    """
    head = getattr(model, 'mask_head', None)
    if isinstance(head, GridMaskHead):
        feats = model.extract_feat(images)
        _, masks = head(feats)
        if dense:
            run_densely(head, feats)
        else:
            cells = evenly_spread(candidates, sum(grid**2 for grid in head.grids))
            head.decode(masks, 0, cells, images.device)
    elif isinstance(head, BoxedMaskHead):
        run_boxed_head(head, model.extract_feat(images), candidates, dense=dense)
    elif isinstance(getattr(model, 'rpn_head', None), RPNHead):
        feats = model.extract_feat(images)
        model.rpn_head(feats)
        if getattr(model, 'roi_head', None) is not None:
            run_roi_head(model.roi_head, feats)
    else:
        size = (images.shape[-2], images.shape[-1])
        _, samples = random_batch(1, size, num_classes=1, objects=OBJECTS, device=images.device)
        model(images, samples, mode='tensor')


# Heads that decode masks on demand


def evenly_spread(number: int | None, places: int) -> np.ndarray:
    """`number` of a head's Q cells or locations, evenly spread: about every (Q / number)-th. (N,), ascending.

    Raises:
        ValueError: there are not so many, or none is wanted.
    """
    if number is None or not 1 <= number <= places:
        raise ValueError(f'{number} candidates; the head has {places} places, so it must be between 1 and {places}')
    return np.arange(number) * places // number


def run_densely(head: GridMaskHead, feats: Sequence[Tensor]) -> None:
    """Call the modules that the forward of a head puts off, for all cells; the head was called before.

    Raises:
        TypeError: the mask branch, or the aggregator's parameters, are of a kind that is not known here.
    """
    levels = head.resize(feats)
    aggregator = head.aggregator
    for part in [head.mask_branch] if aggregator is None else [head.mask_branch, aggregator.parameter_branch]:
        if isinstance(part, SOLOMaskBranch):
            for level, conv in zip(levels, part.convs, strict=True):
                conv(F.interpolate(part.features(level), scale_factor=2))  # the original upsamples first
        elif isinstance(part, DecoupledSOLOMaskBranch):
            for level, conv_x, conv_y in zip(levels, part.convs_x, part.convs_y, strict=True):
                maps = [part.features(level, axes) for axes in part.towers]
                conv_x(maps[0])
                conv_y(maps[-1])
        elif isinstance(part, SOLOv2MaskBranch):  # the dynamic convolution itself is a function, as the aggregation is
            for level, grid in zip(levels, part.grids, strict=True):
                part.conv_kernel(part.tower_output(level, grid))
        elif isinstance(part, DynamicParameters):
            for level, grid in zip(levels, head.grids, strict=True):
                given = level.new_zeros(1, part.conv.in_channels, grid, grid)
                part.conv(given if part.tower is None else part.tower_output(level, (grid, grid)))
        elif not isinstance(part, StaticParameters):
            raise TypeError(f'how to run a {type(part).__name__} for all cells is not known: add it to run_densely')
    if aggregator is not None and aggregator.context is not None:
        # The original upsamples and concatenates all levels before it convolves.
        channels = aggregator.context.fuse.in_channels
        aggregator.context.fused([feats[0].new_zeros(1, channels, *feats[0].shape[-2:])])


def run_boxed_head(head: BoxedMaskHead, feats: Sequence[Tensor], candidates: int | None, *, dense: bool) -> None:
    """Run a head that makes masks in boxes, given the neck's outputs; `dense` and `candidates` as in `forward_pass`."""
    maps, features, shared = head(feats)
    if dense and head.coefficients is not None and not head.coefficients.dense:
        for level in features:
            head.coefficients.conv(level)
    if dense or head.masks is None:
        return
    places = torch.from_numpy(evenly_spread(candidates, sum(x.shape[-2:].numel() for x in maps.centerness)))
    boxes = feats[0].new_zeros(len(places), 4)
    detections = DetectedBoxes(boxes, boxes[:, 0], boxes.new_zeros(len(places), dtype=torch.long), places)
    head.decode(features, shared, detections, 0)


# Heads on regions


def run_roi_head(head: BaseRoIHead, feats: Sequence[Tensor]) -> None:
    """Run the box heads on `BOX_ROIS` regions and the mask heads on `MASK_ROIS`, in each stage of a cascade.

    Raises:
        TypeError: for a cascade of another kind.
    """
    rois = feats[0].new_zeros(BOX_ROIS, 5)
    mask_rois = rois[:MASK_ROIS]
    if isinstance(head, StandardRoIHead):
        head._bbox_forward(feats, rois)
        if head.with_mask:
            head._mask_forward(feats, mask_rois)
    elif type(head) is CascadeRoIHead:
        for stage in range(head.num_stages):
            head._bbox_forward(stage, feats, rois)
            if head.with_mask:
                head._mask_forward(stage, feats, mask_rois)
    elif type(head) is HybridTaskCascadeRoIHead:
        semantic = head.semantic_head(feats)[1] if head.with_semantic else None
        for stage in range(head.num_stages):
            head._bbox_forward(stage, feats, rois, semantic_feat=semantic)
        head._mask_forward(-1, feats, mask_rois, semantic_feat=semantic, training=False)
    else:
        raise TypeError(f'how to run a {type(head).__name__} on given regions is not known: add it to run_roi_head')


# Stand-ins for operations without a kernel on the meta device


def without_values(model: BaseDetector) -> BaseDetector:
    """Let a model compute shapes where its operations need values; it is of no other use afterwards.

    Regions, and bases in boxes, are pooled to zeros of the right shape: pooling counts nothing. Deformable convolutions
    are plain ones: as many multiply-adds, apart from the sampling.
    """
    for module in model.modules():
        kind = type(module)
        if issubclass(kind, DeformConv2d | ModulatedDeformConv2d):
            module.forward = partial(undeformed, module)
        elif issubclass(kind, DeformableConvModule):
            module.forward = partial(without_autocast, module)
        elif kind is SingleRoIExtractor:
            size = module.roi_layers[0].output_size
            module.forward = lambda feats, rois, *_, channels=module.out_channels, size=size: feats[0].new_zeros(
                len(rois), channels, *size
            )
        elif issubclass(kind, BlendMaskMasks):
            size = module.mask_size
            module.pool = lambda bases, rois, size=size: bases.new_zeros(len(rois), bases.shape[1], size, size)
    return model


def undeformed(conv: DeformConv2d | ModulatedDeformConv2d, x: Tensor, *_: Tensor) -> Tensor:
    """The convolution without its offsets, which are computed if that is done in it."""
    if hasattr(conv, 'conv_offset'):
        conv.conv_offset(x)
    options = conv.stride, conv.padding, conv.dilation, conv.groups
    return F.conv2d(x, conv.weight, getattr(conv, 'bias', None), *options)


def without_autocast(module: DeformableConvModule, x: Tensor) -> Tensor:
    """The module where there is no autocast, as on the meta device."""
    x = module.conv(x)
    return module.activate(x if module.norm is None else module.norm(x))
