"""MEInst's masks: a location predicts the code of a mask, which a codec fitted beforehand decodes (MEInst, Sec. 3.2).

Shape shorthand: G objects, N instances, P positive locations, D numbers of a code, m mask size.
"""

from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.masks.boxed.boxed_masks import BoxedMasks, Positives, Regions

# d_mask of MEInst's Eq. 3, by the names of `loss`; the last one compares decoded masks instead of codes (Eq. 4).
LOSSES = {
    'l2': dict(type='MSELoss'),
    'l1': dict(type='L1Loss'),
    'smooth_l1': dict(type='SmoothL1Loss'),
    'cosine': dict(type='CosineDistanceLoss'),
    'implicit': dict(type='CrossEntropyLoss', use_sigmoid=True),
}


@MODELS.register_module(name='CodedMasks')
class MEInstMasks(BoxedMasks):
    """Masks as codes: what a location predicts is a point in the codec's space.

    Args:
        codec: config of the `MaskCodec`; None: locations predict the m·m logits themselves ("w/o" in Table 3).
        mask_size: m, where there is no codec that knows it.
        loss: what is compared, and how unless `loss_mask` says it: 'l2', 'l1', 'smooth_l1' or 'cosine' of codes (Table
            4), or 'implicit', binary cross-entropy of the decoded masks (Table 3); without a codec, the last.
        loss_mask: config of another loss, given codes and wanted codes (P, D) or, if implicit, logits and targets
            (P, m, m); an instance's own terms, or one number.
        encode_per: 'object', once for each object; 'positive', anew for each of its positive locations, which makes a
            difference for codecs that draw random numbers, as the release's does.

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
        if (codec is None) == (mask_size is None):
            raise ValueError(f'CodedMasks: give a codec or a mask_size, one of them; mask_size is {mask_size}')
        if codec is None and loss != 'implicit':
            raise ValueError(f"CodedMasks: without a codec there are no codes for loss={loss!r}; it must be 'implicit'")
        self.codec = None if codec is None else MODELS.build(codec)
        self.mask_size = mask_size if codec is None else self.codec.mask_size
        self.loss_mask = MODELS.build(LOSSES[loss] if loss_mask is None else loss_mask)
        self.implicit, self.encode_per = loss == 'implicit', encode_per

    @property
    def num_coefficients(self) -> int:
        return self.mask_size**2 if self.codec is None else self.codec.num_codes

    def loss(self, positives: Positives, objects: Regions, targets: Tensor) -> Tensor:
        """Σ_i weight_i · Σ_k e_ik / max(denominator · K, 1) over the positive locations, e_ik the K terms of d_mask."""
        codes, gts, weights, denominator = positives
        if len(codes) == 0:  # mmdet's losses of nothing are scalars
            return codes.float().sum()
        if self.implicit:
            given = self.decode(codes, Regions(objects.rois[gts], objects.labels[gts], objects.shared))
            wanted = targets[gts].to(given.dtype)
        else:
            given, wanted = codes.float(), self.encode(targets, objects.labels, gts)
        terms = self.loss_mask(given, wanted, reduction_override='none').reshape(len(codes), -1)
        return (terms.sum(1) * weights).sum() / (denominator * terms.shape[1]).clamp(min=1)

    def encode(self, targets: Tensor, labels: Tensor, gts: Tensor) -> Tensor:
        """Codes that positives are to predict.

        Args:
            targets: (G, m, m).
            labels: (G,).
            gts: (P,) long, the positives' objects.

        Returns:
            (P, D).
        """
        if self.encode_per == 'positive':
            return self.codec.encode(targets[gts], labels[gts])
        return self.codec.encode(targets, labels)[gts]

    def decode(self, coefficients: Tensor, regions: Regions) -> Tensor:
        """Mask logits (MEInst, Eq. 1, right); arguments and result as in `BoxedMasks`."""
        if self.codec is None:
            return coefficients.float().unflatten(1, (self.mask_size, self.mask_size))
        return self.codec.decode(coefficients, regions.labels)
