"""Heads with random weights that find a certain number of masks of moderate size.

Random weights find nothing, and there would be nothing to decode, suppress and encode. So the last convolutions of a
head are scaled and shifted until its outputs spread like those of a trained one and the right number of scores passes.

Shape shorthand: B images, C channels, (h, w) size of a level, Q locations of the batch on all levels.
"""

from collections.abc import Callable, Iterable, Sequence
from math import log

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import FCOSHead, SOLOHead
from mmdet.models.detectors import BaseDetector
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmagg.models.heads import BoxedMaskHead, GridMaskHead
from mmagg.models.postprocess import BoxedMaskPostProcessor, MaskPostProcessor

SPREAD = 2.0  # standard deviation of the class logits; scores of trained models spread like this
MASK_SPREAD = 4.0  # of the mask logits
OFFSET_SPREAD = 0.5  # cells
DISTANCE_SPREAD = 1.0  # standard deviation of a location's distances to its box's sides, in strides
NEAREST = 1.0  # their minimum; a box without an area would be no detection
MEDIAN, LOG_SPREAD = 4.0, 0.4  # where their logarithms are predicted
PAIRS_PER_DETECTION = 10  # (location, class) pairs that pass the score threshold, for each one that is left after NMS
CERTAIN = 20.0  # a logit whose probability is 1 in float32


def conv_modules(parts: Iterable[nn.Module]) -> list[ConvModule]:
    """All layers of convolution, normalisation and activation in some modules."""
    return [module for part in parts for module in part.modules() if isinstance(module, ConvModule)]


def last_convs(part: nn.Module) -> list[nn.Conv2d]:
    """The plain convolutions of a module: those that are not in a `ConvModule`."""
    inner = {module for layer in conv_modules([part]) for module in layer.modules()}
    return [module for module in part.modules() if isinstance(module, nn.Conv2d) and module not in inner]


# Heads of the SOLO family


def is_solo(model: nn.Module) -> bool:
    """True if the detector's head is of the SOLO family, ours or mmdet's."""
    return isinstance(getattr(model, 'mask_head', None), (GridMaskHead, SOLOHead))


@torch.no_grad()
def prepare_masks(model: BaseDetector, seed: int = 0) -> None:
    """Give a freshly initialised head of the SOLO family masks that cover a part of the image, and are not all empty.

    The last convolutions of the masks get no bias and such weights that the logits are spread around zero by about
    `MASK_SPREAD` after a tower with GroupNorm and ReLU. SODAR's offsets are spread by about `OFFSET_SPREAD`.
    """
    generator = torch.Generator().manual_seed(seed)
    head = model.mask_head
    aggregator = set((getattr(head, 'aggregator', None) or nn.Identity()).modules())
    for conv in last_convs(head):
        if conv is not head.conv_cls and conv not in aggregator:
            spread = MASK_SPREAD * (2 / conv.weight[0].numel()) ** 0.5
            conv.weight.copy_(spread * torch.randn(conv.weight.shape, generator=generator))
            conv.get_parameter('bias').zero_()
    offsets = getattr(getattr(head, 'aggregator', None), 'offset_branch', None)
    if offsets is not None:  # they start at zero, where four cells are one
        spread = OFFSET_SPREAD * (2 / offsets.conv.weight[0].numel()) ** 0.5
        offsets.conv.weight.copy_(spread * torch.randn(offsets.conv.weight.shape, generator=generator))


@torch.no_grad()
def set_candidates(model: BaseDetector, inputs: Tensor, wanted: int) -> int:
    """Scale and shift the class logits of a SOLO head so that `wanted` (cell, class) pairs are candidates.

    Args:
        model: in evaluation mode.
        inputs: the images (B, 3, H, W) on which it shall have them.
        wanted: pairs that pass the score threshold after points-NMS.

    Returns:
        The number of pairs that pass.

    Raises:
        ValueError: there are not so many cells and classes, or every score passes the threshold.
    """
    head = model.mask_head
    threshold = _threshold(head.post_process if isinstance(head, GridMaskHead) else head.test_cfg)
    conv = head.conv_cls
    conv.bias.zero_()
    (logits,) = outputs_of([conv], lambda: head(model.extract_feat(inputs)))
    # Points-NMS does not depend on scale and bias of the logits.
    peaks = torch.cat([x[F.max_pool2d(x, 2, stride=1, padding=1)[:, :, :-1, :-1] == x] for x in logits])
    if wanted >= len(peaks):
        raise ValueError(
            f'{wanted} candidates are wanted, only {len(peaks)} local maxima of the class scores are there'
        )
    scale = SPREAD / peaks.std()
    conv.weight.mul_(scale)
    return let_pass(conv, scale * peaks, wanted, threshold)


# Boxes from FCOS


def has_fcos_boxes(model: nn.Module) -> bool:
    """True if the detector's boxes come from FCOS, ours (`BoxedMaskHead`) or mmdet's (also in CondInst)."""
    heads = getattr(model, 'mask_head', None), getattr(model, 'bbox_head', None)
    return isinstance(heads[0], BoxedMaskHead) or isinstance(heads[1], FCOSHead)


@torch.no_grad()
def set_detections(model: BaseDetector, inputs: Tensor, wanted: int) -> int:
    """Let the FCOS of a detector find `wanted` boxes in each image, if NMS leaves so many.

    Class logits get the same distribution in every class, and `PAIRS_PER_DETECTION` times `wanted` (location, class)
    pairs pass the score threshold; boxes are some strides large; centerness is 1 everywhere, so that it does not matter
    where it comes in. Bases are spread around zero; CondInst's initial masks are wedges around their locations.

    Args:
        model: in evaluation mode.
        inputs: the images (B, 3, H, W) on which it shall find them.
        wanted: detections of an image.

    Returns:
        The number of pairs that pass, in all images.

    Raises:
        ValueError: there are not so many locations and classes, or every score passes the threshold.
    """
    feats = model.extract_feat(inputs)
    if isinstance(getattr(model, 'mask_head', None), BoxedMaskHead):
        head, settings, run = model.mask_head.boxes, model.mask_head.post_process, model.mask_head
        conv_box, in_logs = head.conv_box, False
        masks = [] if run.masks is None else last_convs(run.masks)
    else:
        head = run = model.bbox_head
        settings, conv_box, in_logs, masks = head.test_cfg, head.conv_reg, not head.norm_on_bbox, []
    threshold = _threshold(settings)
    convs = [head.conv_cls, conv_box, head.conv_centerness, *masks]
    logits, distances, centerness, *mask_logits = outputs_of(convs, lambda: run(feats))
    pairs, there = PAIRS_PER_DETECTION * wanted * len(inputs), sum(x.numel() for x in logits)
    if pairs >= there:
        raise ValueError(
            f'{wanted} detections are wanted; the {pairs} (location, class) pairs that they are chosen from are not '
            f'there, only {there}'
        )
    standardise(head.conv_centerness, centerness, mean=CERTAIN, spread=0)
    for conv, outputs in zip(masks, mask_logits, strict=True):
        standardise(conv, outputs, mean=0, spread=MASK_SPREAD)
    if in_logs:  # of pixels; the trained factor of a level brings its stride in
        first = log(MEDIAN * head.strides[0])
        standardise(conv_box, distances, mean=first, spread=LOG_SPREAD)
        for scale, stride in zip(head.scales, head.strides, strict=True):
            scale.scale.fill_(log(MEDIAN * stride) / first)
    else:
        values = standardise(conv_box, distances, mean=0, spread=DISTANCE_SPREAD)
        conv_box.bias.add_(NEAREST - values.amin(1))
    values = standardise(head.conv_cls, logits, mean=0, spread=SPREAD)
    settings.max_per_img = wanted
    return let_pass(head.conv_cls, values.flatten(), pairs, threshold)


# Both


def _threshold(settings: MaskPostProcessor | BoxedMaskPostProcessor | ConfigDict) -> float:
    """The score threshold of a head's post-processing; a `ValueError` if every score passes it, or none."""
    threshold = settings.score_thr
    if not 0 < threshold < 1:
        raise ValueError(f'score_thr is {threshold}: the number of candidates can be set for thresholds in (0, 1) only')
    return threshold


def outputs_of(convs: Sequence[nn.Conv2d], run: Callable[[], object]) -> list[list[Tensor]]:
    """The outputs of each convolution while something runs, call by call."""
    outputs: list[list[Tensor]] = [[] for _ in convs]
    hooks = [
        conv.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
        for conv, kept in zip(convs, outputs, strict=True)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return outputs


def standardise(conv: nn.Conv2d, outputs: Sequence[Tensor], *, mean: float, spread: float) -> Tensor:
    """Scale and shift a convolution with bias so that the outputs of each channel have this mean and deviation.

    `outputs` are those that it returned, (B, C, h, w) per level; those that it would return now, (C, Q), are returned.
    """
    values = torch.cat([x.transpose(0, 1).flatten(1) for x in outputs], dim=1).float()
    scale = spread / values.std(1).clamp(min=1e-12)
    shift = mean - scale * values.mean(1)
    conv.weight.mul_(scale[:, None, None, None])
    conv.get_parameter('bias').mul_(scale).add_(shift)
    return scale[:, None] * values + shift[:, None]


def let_pass(conv: nn.Conv2d, logits: Tensor, wanted: int, threshold: float) -> int:
    """Shift a convolution's logits (N,) so that `wanted` < N probabilities pass a threshold; returns how many do."""
    best = logits.topk(wanted + 1).values
    shift = torch.logit(best.new_tensor(threshold)) - best[-2:].mean()
    conv.get_parameter('bias').add_(shift)
    return int(((logits + shift).sigmoid() > threshold).sum())
