"""BlendMask's masks: an instance's attention weights bases that all instances of an image share (BlendMask, Sec. 3.2).

    r = RoIPool(bases, box)                                           pooled bases, (K, R, R) (BlendMask, Eq. 1)
    a' = interpolate(a), s = softmax over the bases(a')               attention, M x M to R x R (BlendMask, Eqs. 2, 3)
    m = Σ_k s_k ∘ r_k                                                 mask logits, (R, R) (BlendMask, Eq. 4)

Shape shorthand: B images, G objects, N instances, K bases, M attention size, R mask size, (h, w) size of the bases.
"""

from collections.abc import Callable, Sequence

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
    """The blender (BlendMask, Eqs. 3 and 4): m = Σ_k softmax(a)_k ∘ r_k, bases and attention (N, K, R, R) each."""
    return (rois * attention.softmax(1)).sum(1)


def gate(rois: Tensor, attention: Tensor) -> Tensor:
    """A single base (BlendMask, Table 3): the logit of σ(base) · σ(attention), both (N, 1, R, R).

    As a logit, the product fits the same loss, and is stable in half precision.
    """
    log_prob = (F.logsigmoid(rois) + F.logsigmoid(attention)).squeeze(1)
    return log_prob - torch.log(-torch.expm1(log_prob.clamp(max=-1e-7)))


def assemble(rois: Tensor) -> Tensor:
    """The assembler of FCIS (BlendMask, Table 1): of (N, M·M, R, R) bases, the k-th fills cell k of an M x M grid."""
    size = rois.shape[-1]
    grid = round(rois.shape[1] ** 0.5)
    cell = torch.arange(size, device=rois.device) * grid // size
    base = (cell[:, None] * grid + cell).expand(len(rois), 1, -1, -1)
    return rois.gather(1, base).squeeze(1)


MERGERS: dict[str, Callable[..., Tensor]] = {'blend': blend, 'gate': gate, 'assemble': assemble}


@MODELS.register_module(name='BlendedMasks')
class BlendMaskMasks(BoxedMasks):
    """Bases of the image, pooled in a box and merged by the instance's attention.

    Args:
        basis: config of the bottom module, which makes the bases from the pyramid and has `num_bases`.
        stride: pixels of the network's input per pixel of the bases.
        mask_size: R.
        attention_size: M; 1 is the weighted sum of YOLACT (BlendMask, Table 1).
        merger: 'blend'; 'gate', for one base; 'assemble', for M·M bases and no attention.
        top: interpolation of the attention from M to R, 'bilinear' or 'nearest' (BlendMask, Table 5).
        pooling: of the bases in a box: 'align', RoIAlign with one sample per bin; 'align_v1', the same without the half
            pixel; 'pool', RoIPool (BlendMask, Table 6).
        loss_mask: mask loss, given logits and targets (P, R, R); one value per mask, or per pixel and then averaged.
        byte_budget: bytes of a chunk of masks; with several chunks, each is computed again for its gradients.

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
        """K·M·M; 0 for the assembler."""
        return 0 if self.merger == 'assemble' else self.basis.num_bases * self.attention_size**2

    @stage('shared')
    def features(self, feats: Sequence[Tensor]) -> Tensor:
        """Pyramid -> (B, K, h, w) bases; from here on in float32, also under autocast."""
        # mmcv's pooling takes any memory for contiguous, also that of channels_last models.
        return self.basis(feats).float().contiguous()

    def pool(self, bases: Tensor, rois: Tensor) -> Tensor:
        """(B, K, h, w) bases and (N, 5) `Regions.rois` -> (N, K, R, R) pooled bases (BlendMask, Eq. 1)."""
        scale = 1 / self.stride
        if self.pooling == 'pool':
            return roi_pool(bases, rois, size=self.mask_size, scale=scale)
        return roi_align(bases, rois, self.mask_size, scale, 1, 'avg', self.pooling == 'align')

    def merge(self, rois: Tensor, coefficients: Tensor | None) -> Tensor:
        """(N, K, R, R) pooled bases, (N, K·M·M) coefficients or None -> (N, R, R) logits (BlendMask, Eqs. 2 to 4)."""
        if coefficients is None:  # of the assembler
            return assemble(rois)
        attention = coefficients.float().unflatten(1, (-1, self.attention_size, self.attention_size))
        options = dict(align_corners=False) if self.top == 'bilinear' else {}
        if attention.shape[0]:  # F.interpolate refuses
            attention = F.interpolate(attention, size=(self.mask_size, self.mask_size), mode=self.top, **options)
        else:
            attention = attention.new_zeros(rois.shape) + 0 * attention.sum()
        return MERGERS[self.merger](rois, attention)

    @property
    def chunk(self) -> int:
        """Number of masks that are merged at once."""
        return self.masks_at_once(self.mask_size**2)

    def masks_at_once(self, pixels: int) -> int:
        """Number of masks of so many pixels that the budget has room for."""
        # Pooled bases, attention, its softmax and their product; logits, targets and losses.
        return chunk_size(4 * (4 * self.basis.num_bases + 3) * pixels, self.byte_budget)

    def pool_objects(self, objects: Regions) -> Tensor:
        """Objects -> (G, K, R, R), what the masks in the loss are merged from."""
        return self.pool(objects.shared, objects.rois)

    def merge_objects(self, pooled: Tensor, objects: Regions, gts: Tensor, coefficients: Tensor | None) -> Tensor:
        """`pool_objects`, (P,) the object of each, (P, K·M·M) coefficients -> (P, R, R) logits of the loss."""
        return self.merge(pooled[gts], coefficients)

    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """Σ_i weight_i · loss_i / denominator over the positives; bases are pooled once per object."""

        def of_part(pooled: Tensor, coefficients: Tensor | None, gts: Tensor, weights: Tensor) -> Tensor:
            logits = self.merge_objects(pooled, objects, gts, coefficients)
            losses = self.loss_mask(logits, targets[gts].to(logits.dtype), reduction_override='none')
            return (per_mask(losses) * weights).sum()

        coefficients, gts, weights, denominator = positives
        pooled = self.pool_objects(objects)
        total = 0 * objects.shared.sum()  # distributed training waits for these gradients, also without objects
        chunk = self.masks_at_once(targets.shape[-2:].numel())
        several = len(gts) > chunk
        for start in range(0, len(gts), chunk):
            part = slice(start, start + chunk)
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
