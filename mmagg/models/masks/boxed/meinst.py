"""MEInst's masks: a location predicts the code of a mask, which a codec fitted beforehand decodes (MEInst, Sec. 3.2).

    L_mask = Σ_i d_mask(ŷ_i, y_i)                                     over positives and elements (MEInst, Eq. 3)

Shape shorthand: G objects, N instances, P positive locations, D length of a code, m mask size.
"""

from typing import Any

from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions

# d_mask (MEInst, Eq. 3) by the names of `loss`. The last one compares decoded masks, not codes (MEInst, Table 3).
LOSSES = {
    'l2': dict(type='MSELoss'),
    'l1': dict(type='L1Loss'),
    'smooth_l1': dict(type='SmoothL1Loss'),
    'cosine': dict(type='CosineDistanceLoss'),
    'implicit': dict(type='CrossEntropyLoss', use_sigmoid=True),
}


@MODELS.register_module(name='CodedMasks')
class MEInstMasks(BoxedMasks):
    """Masks as codes of a `MaskCodec`, which the locations predict.

    Args:
        codec: config of the `MaskCodec`; None: locations predict the m·m logits ("w/o" in MEInst, Table 3).
        mask_size: m, if there is no codec.
        loss: the name of the mask loss: 'l2', 'l1', 'smooth_l1' or 'cosine' of codes (MEInst, Table 4), or 'implicit',
            binary cross-entropy of the decoded masks (MEInst, Table 3), the only one without a codec.
        loss_mask: config of another mask loss of codes or, if `loss` is 'implicit', of masks; given predictions and
            targets, (P, D) or (P, m, m), it returns one value per instance, or several and then their mean counts.
        encode_per: 'object', each object once; 'positive', each positive location anew, which differs for codecs that
            draw random numbers, as the release's does.

    Raises:
        ValueError: an unknown `loss` or `encode_per`, a loss between codes without a codec, or not exactly one of
            `codec` and `mask_size`.
    """

    def __init__(
        self,
        *,
        codec: dict | None,
        mask_size: int | None = None,
        loss: str = 'l2',
        loss_mask: dict | None = None,
        encode_per: str = 'object',
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ('loss', loss, tuple(LOSSES)),
            ('encode_per', encode_per, ('object', 'positive')),
        ):
            if value not in choices:
                raise ValueError(f'CodedMasks: {name} is {value!r}; it must be one of {choices}')
        self.codec: Any = None
        if codec is not None and mask_size is None:
            self.codec = MODELS.build(codec)
            self.mask_size = self.codec.mask_size
        elif codec is None and mask_size is not None:
            self.mask_size = mask_size
        else:
            raise ValueError(f'CodedMasks: give a codec or a mask_size, one of them; mask_size is {mask_size}')
        if codec is None and loss != 'implicit':
            raise ValueError(f"CodedMasks: without a codec there are no codes for loss={loss!r}; it must be 'implicit'")
        self.loss_mask = MODELS.build(LOSSES[loss] if loss_mask is None else loss_mask)
        self.implicit, self.encode_per = loss == 'implicit', encode_per

    @property
    def num_coefficients(self) -> int:
        return self.mask_size**2 if self.codec is None else self.codec.num_codes

    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """Σ_i weight_i · Σ_k e_ik / max(denominator · K, 1) over the positives, e_ik the K terms of d_mask."""
        codes, gts, weights, denominator = positives
        if len(codes) == 0:  # mmdet's losses of no instance are scalars, whatever the reduction
            return codes.float().sum()
        if self.implicit:
            given = self.decode(codes, Regions(objects.rois[gts], objects.labels[gts], objects.shared))
            wanted = targets[gts].to(given.dtype)
        else:
            given, wanted = codes.float(), self.encode(targets, objects.labels, gts)
        terms = self.loss_mask(given, wanted, reduction_override='none').reshape(len(codes), -1)
        return (terms.sum(1) * weights).sum() / (denominator * terms.shape[1]).clamp(min=1)

    def encode(self, targets: Tensor, labels: Tensor, gts: Tensor) -> Tensor:
        """(G, m, m) masks, (G,) classes and (P,) objects of the positives -> (P, D) codes to predict."""
        if self.encode_per == 'positive':
            return self.codec.encode(targets[gts], labels[gts])
        return self.codec.encode(targets, labels)[gts]

    def decode(self, coefficients: Tensor, regions: Regions) -> Tensor:
        """Mask logits, ũ = W v (MEInst, Eq. 1, right); arguments and result as in `BoxedMasks`."""
        if self.codec is None:
            return coefficients.float().unflatten(1, (self.mask_size, self.mask_size))
        return self.codec.decode(coefficients, regions.labels)
