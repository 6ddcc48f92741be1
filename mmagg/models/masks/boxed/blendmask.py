"""BlendMask's masks: an instance's attention selects from bases that the whole image shares (BlendMask, Eqs. 1 to 5).

Shape shorthand: B images, G objects, N instances, K bases, M attention size, R mask size, (h, w) size of the bases.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from mmdet.registry import MODELS
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmagg.models.losses import per_mask
from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions
from mmagg.ops import chunk_size, roi_pool
from mmagg.ops.stage import stage

TOPS = ('bilinear', 'nearest')
POOLINGS = ('align', 'align_v1', 'pool')


def blend(rois: Tensor, attention: Tensor) -> Tensor:
    """The blender (BlendMask, Eqs. 4 and 5): (N, K, R, R) bases, weighted by a softmax of the attention over them."""
    return (rois * attention.softmax(1)).sum(1)


def gate(rois: Tensor, attention: Tensor) -> Tensor:
    """One base (Table 3): the logit of sigmoid(base) · sigmoid(attention), both (N, 1, R, R).

    As a logit, the product goes into the same loss, and survives half precision.
    """
    log_prob = (F.logsigmoid(rois) + F.logsigmoid(attention)).squeeze(1)
    return log_prob - torch.log(-torch.expm1(log_prob.clamp(max=-1e-7)))


def assemble(rois: Tensor) -> Tensor:
    """Assembler (Table 1, as in FCIS): (N, M·M, R, R); base k fills the cell k of an M x M grid over the box."""
    size = rois.shape[-1]
    grid = round(rois.shape[1] ** 0.5)
    cell = torch.arange(size, device=rois.device) * grid // size
    base = (cell[:, None] * grid + cell).expand(len(rois), 1, -1, -1)
    return rois.gather(1, base).squeeze(1)


MERGERS = {'blend': blend, 'gate': gate, 'assemble': assemble}


@MODELS.register_module(name='BlendedMasks')
class BlendMaskMasks(BoxedMasks):
    """Bases of the image, pooled in a box, merged by the instance's attention.

    Args:
        basis: config of the module that makes the bases, called with the pyramid; it has `num_bases`.
        stride: pixels of the network's input per pixel of the bases.
        mask_size: R.
        attention_size: M; 1 is a weighted sum of the bases (Table 1, as in YOLACT).
        merger: 'blend'; 'gate', for one base; 'assemble', for M·M bases and no attention.
        top: how attention is resized from M to R, 'bilinear' or 'nearest' (Table 5).
        pooling: how bases are pooled in a box: 'align', RoIAlign with one sample a bin; 'align_v1', the same without
            the half pixel; 'pool', RoIPool (Table 6).
        loss_mask: config of the mask loss, given logits and targets (P, R, R); per mask, or per pixel, which is then
            averaged.
        byte_budget: bytes that a chunk of masks may take; several chunks are recomputed for their gradients.

    Raises:
        ValueError: an unknown `merger`, `top` or `pooling`, or a merger that does not fit the number of bases.
    """

    def __init__(
        self,
        *,
        basis: dict,
        stride: int = 4,
        mask_size: int = 56,
        attention_size: int = 14,
        merger: str = 'blend',
        top: str = 'bilinear',
        pooling: str = 'align',
        loss_mask: dict = dict(type='CrossEntropyLoss', use_sigmoid=True),  # noqa: B006 (never changed)
        byte_budget: int = 256 * 2**20,
    ) -> None:
        super().__init__()
        for name, value, choices in (('merger', merger, MERGERS), ('top', top, TOPS), ('pooling', pooling, POOLINGS)):
            if value not in choices:
                raise ValueError(f'BlendedMasks: {name} is {value!r}; it must be one of {tuple(choices)}')
        self.basis, self.loss_mask = MODELS.build(basis), MODELS.build(loss_mask)
        bases = self.basis.num_bases
        if (merger == 'gate' and bases != 1) or (merger == 'assemble' and bases != attention_size**2):
            raise ValueError(
                f'BlendedMasks: {bases} bases do not fit merger={merger}: gate takes 1, assemble attention_size² = '
                f'{attention_size**2}'
            )
        self.stride, self.mask_size, self.attention_size = stride, mask_size, attention_size
        self.merger, self.top, self.pooling, self.byte_budget = merger, top, pooling, byte_budget

    @property
    def num_coefficients(self) -> int:
        """Numbers that an instance brings: K·M·M, or none for the assembler."""
        return 0 if self.merger == 'assemble' else self.basis.num_bases * self.attention_size**2

    @stage('shared')
    def features(self, feats: Sequence[Tensor]) -> Tensor:
        """Pyramid -> (B, K, h, w) bases, in float32 also under autocast, as all that follows."""
        # mmcv's pooling reads memory as contiguous, whatever its layout; models may be channels_last.
        return self.basis(feats).float().contiguous()

    def pool(self, bases: Tensor, rois: Tensor) -> Tensor:
        """Bases in boxes.

        Args:
            bases: (B, K, h, w).
            rois: (N, 5) image, x1, y1, x2, y2 in pixels of the network's input.

        Returns:
            (N, K, R, R).
        """
        scale = 1 / self.stride
        if self.pooling == 'pool':
            return roi_pool(bases, rois, size=self.mask_size, scale=scale)
        return roi_align(bases, rois, self.mask_size, scale, 1, 'avg', self.pooling == 'align')

    def merge(self, rois: Tensor, coefficients: Tensor | None) -> Tensor:
        """Mask logits.

        Args:
            rois: (N, K, R, R) pooled bases.
            coefficients: (N, K·M·M), base by base; None for the assembler.

        Returns:
            (N, R, R).
        """
        if self.merger == 'assemble':
            return assemble(rois)
        attention = coefficients.float().unflatten(1, (-1, self.attention_size, self.attention_size))
        options = dict(align_corners=False) if self.top == 'bilinear' else {}
        if len(attention):  # F.interpolate refuses
            attention = F.interpolate(attention, size=(self.mask_size, self.mask_size), mode=self.top, **options)
        else:
            attention = attention.new_zeros(rois.shape) + 0 * attention.sum()
        return MERGERS[self.merger](rois, attention)

    @property
    def chunk(self) -> int:
        """Masks that are merged at once."""
        # Pooled bases, attention, its softmax and their product; logits, targets and losses.
        return chunk_size(4 * (4 * self.basis.num_bases + 3) * self.mask_size**2, self.byte_budget)

    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """Σ_i weight_i · loss_i / denominator over the positive locations; bases are pooled once for each object."""

        def of_part(pooled: Tensor, coefficients: Tensor | None, gts: Tensor, weights: Tensor) -> Tensor:
            logits = self.merge(pooled[gts], coefficients)
            losses = self.loss_mask(logits, targets[gts].to(logits.dtype), reduction_override='none')
            return (per_mask(losses) * weights).sum()

        coefficients, gts, weights, denominator = positives
        pooled = self.pool(objects.shared, objects.rois)
        total = 0 * objects.shared.sum()  # in the graph also without objects: distributed training waits for gradients
        several = len(gts) > self.chunk
        for start in range(0, len(gts), self.chunk):
            part = slice(start, start + self.chunk)
            given = pooled, None if coefficients is None else coefficients[part], gts[part], weights[part]
            total = total + (checkpoint(of_part, *given, use_reentrant=False) if several else of_part(*given))
        if coefficients is not None:
            total = total + 0 * coefficients.sum()
        return total / denominator

    def decode(self, coefficients: Tensor | None, regions: Regions) -> Tensor:
        bases, rois = regions.shared, regions.rois
        logits = rois.new_empty(len(rois), self.mask_size, self.mask_size, dtype=torch.float)
        for start in range(0, len(rois), self.chunk):
            part = slice(start, start + self.chunk)
            given = None if coefficients is None else coefficients[part]
            logits[part] = self.merge(self.pool(bases, rois[part]), given)
        return logits
