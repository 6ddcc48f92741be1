"""BlendMask that learns its masks from boxes, by BoxInst's losses.

Those compare what is inside of a box with what is around it, which a mask in the frame of its box does not show. So in
the loss, masks are blended in the frame of the image, as BoxInst's are: the attention lies over the box as it does in
inference, and its border goes on beyond. Masks are predicted as BlendMask's.

Shape shorthand: P positives, K bases, M attention size, (h, w) size of the bases.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

from mmagg.models.masks.boxed.blendmask import MERGERS, BlendMaskMasks
from mmagg.models.masks.boxed.boxed_masks import Regions
from mmagg.ops import chunk_size


@MODELS.register_module(name='BlendedMasksFromBoxes')
class BlendMaskFromBoxes(BlendMaskMasks):
    """`BlendedMasks`, with a mask loss in the frame of the image.

    Args:
        mask_targets: config of the module that makes the targets of the mask loss (`BoxInstTargets`).
        loss_mask: mask loss, given logits (P, h, w) and targets; one value per mask.
        options: others of `BlendedMasks`.

    Raises:
        ValueError: as `BlendedMasks`; no attention that is interpolated bilinearly.
    """

    def __init__(self, *, mask_targets: dict, loss_mask: dict, **options: Any) -> None:
        super().__init__(loss_mask=loss_mask, **options)
        if self.merger == 'assemble' or self.top != 'bilinear':
            raise ValueError(
                f'BlendedMasksFromBoxes: merger={self.merger}, top={self.top}; it takes bilinear attention alone'
            )
        self.mask_targets = MODELS.build(mask_targets)

    def targets(self, samples: Sequence[DetDataSample]) -> Tensor:
        """What `mask_targets` makes of a batch, at the stride of the bases."""
        size = samples[0].batch_input_shape
        return self.mask_targets(samples, stride=self.stride, size=tuple(-(-side // self.stride) for side in size))

    def masks_at_once(self, pixels: int) -> int:
        # Beside BlendMask's maps, a dozen for each of the four pairs of a pixel.
        return chunk_size(4 * (4 * self.basis.num_bases + 50) * pixels, self.byte_budget)

    def pool_objects(self, objects: Regions) -> Tensor:
        """The bases (B, K, h, w)."""
        return objects.shared

    def merge_objects(self, pooled: Tensor, objects: Regions, gts: Tensor, coefficients: Tensor | None) -> Tensor:
        """(B, K, h, w) bases, (P,) an object each, (P, K·M·M) coefficients -> (P, h, w) logits."""
        assert coefficients is not None, 'the assembler, which has none, is refused'
        rois = objects.rois[gts]
        attention = coefficients.float().unflatten(1, (-1, self.attention_size, self.attention_size))
        x1, y1, x2, y2 = rois[:, 1:].unbind(1)
        rows, columns = (
            linear_weights(low, high, before=self.attention_size, after=side, stride=self.stride)
            for low, high, side in ((y1, y2, pooled.shape[2]), (x1, x2, pooled.shape[3]))
        )
        with torch.autocast(pooled.device.type, enabled=False):  # it would interpolate in half precision
            attention = rows[:, None] @ attention @ columns[:, None].mT
        return MERGERS[self.merger](pooled[rois[:, 0].long()], attention)


def linear_weights(low: Tensor, high: Tensor, *, before: int, after: int, stride: int) -> Tensor:
    """Linear interpolation of numbers that lie over an interval, as matrices; beyond, those at its ends go on.

    Within it, this is `F.interpolate(align_corners=False)`.

    Args:
        low: (P,) where the interval begins, in pixels.
        high: (P,) where it ends.
        before: M, how many numbers.
        after: n, how many pixels of the result, from 0.
        stride: pixels per pixel of the result.

    Returns:
        (P, n, M).
    """
    pixels = (torch.arange(after, device=low.device) + 0.5) * stride
    places = (pixels - low[:, None]) / (high - low).clamp(min=1e-6)[:, None] * before - 0.5  # (P, n)
    distances = places.clamp(0, before - 1)[..., None] - torch.arange(before, device=low.device)
    return (1 - distances.abs()).clamp(min=0)
