"""MEInst's masks: a location predicts the code of a mask, which a codec without learnt weights decodes (Sec. 3.2).

Shape shorthand: G objects, N instances, D numbers of a code, m mask size.
"""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


def cosine_distance(codes: Tensor, wanted: Tensor) -> Tensor:
    """(N, D) codes -> (N, 1): a code is seen as a whole, by its direction alone."""
    return 1 - F.cosine_similarity(codes, wanted)[:, None]


# d_mask of Eq. 3: (N, D) codes and wanted codes -> terms of an instance's loss, (N, D) or (N, 1).
CODE_LOSSES = {
    'l2': partial(F.mse_loss, reduction='none'),
    'l1': partial(F.l1_loss, reduction='none'),
    'smooth_l1': partial(F.smooth_l1_loss, reduction='none'),
    'cosine': cosine_distance,
}
LOSSES = (*CODE_LOSSES, 'implicit')


@MODELS.register_module(name='CodedMasks')
class MEInstMasks(BaseModule):
    """Masks as codes: what a location predicts is a point in the codec's space.

    Args:
        codec: config of the `MaskCodec`; None: locations predict the m·m logits themselves ("w/o" in Table 3).
        mask_size: m, where there is no codec that knows it.
        loss: 'l2', 'l1', 'smooth_l1' or 'cosine' between codes (Table 4), or 'implicit', binary cross-entropy between
            decoded and true mask (Table 3); without a codec, the last.
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
        encode_per: str = 'object',
    ) -> None:
        super().__init__()
        for name, value, choices in (('loss', loss, LOSSES), ('encode_per', encode_per, ('object', 'positive'))):
            if value not in choices:
                raise ValueError(f'CodedMasks: {name} is {value!r}; it must be one of {choices}')
        if (codec is None) == (mask_size is None):
            raise ValueError(f'CodedMasks: give a codec or a mask_size, one of them; mask_size is {mask_size}')
        if codec is None and loss != 'implicit':
            raise ValueError(f"CodedMasks: without a codec there are no codes for loss={loss!r}; it must be 'implicit'")
        self.codec = None if codec is None else MODELS.build(codec)
        self.mask_size = mask_size if codec is None else self.codec.mask_size
        self.loss_kind, self.encode_per = loss, encode_per

    @property
    def num_coefficients(self) -> int:
        """Numbers that an instance brings."""
        return self.mask_size**2 if self.codec is None else self.codec.num_codes

    def features(self, feats: Sequence[Tensor]) -> None:
        """Masks have nothing in common."""
        return

    def loss(
        self,
        shared: None,
        coefficients: Tensor,
        *,
        gts: Tensor,
        weights: Tensor,
        denominator: Tensor,
        rois: Tensor,
        labels: Tensor,
        targets: Tensor,
    ) -> Tensor:
        """Σ_i weight_i · Σ_k e_ik / max(denominator · K, 1) over the positive locations, e_ik the K terms of d_mask.

        Args:
            shared: nothing.
            coefficients: (N, D) of the positives.
            gts: (N,) long, their objects.
            weights: (N,) their centerness.
            denominator: scalar, the sum of the weights, a mean over the processes.
            rois: (G, 5) image and box of each object, which codes do not know.
            labels: (G,) classes.
            targets: (G, m, m) the objects' masks in their boxes.
        """
        if self.loss_kind == 'implicit':
            logits = self.decode(shared, coefficients, rois=rois, labels=labels[gts])
            terms = F.binary_cross_entropy_with_logits(logits, targets[gts].to(logits.dtype), reduction='none')
            terms = terms.flatten(1)
        else:
            terms = CODE_LOSSES[self.loss_kind](coefficients.float(), self.encode(targets, labels, gts))
        return (terms.sum(1) * weights).sum() / (denominator * terms.shape[1]).clamp(min=1)

    def encode(self, targets: Tensor, labels: Tensor, gts: Tensor) -> Tensor:
        """Codes that positives are to predict.

        Args:
            targets: (G, m, m).
            labels: (G,).
            gts: (N,) long, the positives' objects.

        Returns:
            (N, D).
        """
        if self.encode_per == 'positive':
            return self.codec.encode(targets[gts], labels[gts])
        return self.codec.encode(targets, labels)[gts]

    def decode(self, shared: None, coefficients: Tensor, *, rois: Tensor, labels: Tensor) -> Tensor:
        """Mask logits (Eq. 1, right).

        Args:
            shared: nothing.
            coefficients: (N, D).
            rois: boxes, which codes do not know.
            labels: (N,) classes.

        Returns:
            (N, m, m), float32.
        """
        if self.codec is None:
            return coefficients.float().unflatten(1, (self.mask_size, self.mask_size))
        return self.codec.decode(coefficients, labels)
