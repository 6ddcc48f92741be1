"""Masks as their lowest DCT coefficients: a linear code that needs no data (DCT-Mask, arXiv 2011.09876).

Shape shorthand: m mask size, D length of a code.
"""

from pathlib import Path

import torch
from mmdet.registry import MODELS

from mmagg.models.masks.boxed.cosine_basis import cosine_basis
from mmagg.models.masks.boxed.pca_codec import Dictionary, PCAMaskCodec


@MODELS.register_module()
class DCTMaskCodec(PCAMaskCodec):
    """`PCAMaskCodec` whose components are the D lowest frequencies of the DCT, in zigzag order.

    Without a dictionary, the mean is 0 and codes are whitened by a fixed scale (`Dictionary.assumed`); with one, mean
    and scale are those of the data that it was fitted to.

    Args:
        mask_size: m.
        num_codes: D.
        whiten: codes of variance about 1; False: the transform's own coefficients, as DCT-Mask regresses them.
        sigmoid: what is transformed, see `mask_logits`; 'none', the masks themselves, is DCT-Mask's.
        dictionary: .npz of ``tools/analysis/fit_mask_codec.py --codec dct``, or None.

    Raises:
        ValueError: an unknown `sigmoid`, or a dictionary that does not fit, or of other components.
    """

    def __init__(
        self,
        *,
        mask_size: int = 28,
        num_codes: int = 60,
        whiten: bool = True,
        sigmoid: str = 'constant',
        dictionary: str | Path | None = None,
    ) -> None:
        super().__init__(
            mask_size=mask_size, num_codes=num_codes, whiten=whiten, sigmoid=sigmoid, dictionary=dictionary
        )
        if dictionary is None:
            self.assume()

    def take(self, dictionary: Dictionary, *, source: str = 'the dictionary') -> None:
        super().take(dictionary, source=source)
        wanted = cosine_basis(self.mask_size, self.num_codes).to(self.components)
        if not torch.allclose(self.components, wanted, atol=1e-5):
            raise ValueError(f'{source}: its components are not the DCT basis; see mmagg fit-mask-codec --codec dct')
