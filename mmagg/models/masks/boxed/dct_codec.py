"""Masks as their lowest cosine frequencies: a linear code that needs no data (as in DCT-Mask).

Shape shorthand: m mask size, D codes of a mask.
"""

from math import log
from pathlib import Path

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmagg.models.masks.boxed.mask_codec import EPS, Dictionary, PCAMaskCodec


def zigzag(size: int, number: int) -> Tensor:
    """The first frequencies of a size x size spectrum in JPEG's zigzag order, (number, 2) rows and columns."""
    places = [(v, u) for v in range(size) for u in range(size)]
    # Diagonal after diagonal; odd ones run down, even ones up.
    places.sort(key=lambda place: (sum(place), place[0] if sum(place) % 2 else place[1]))
    return torch.tensor(places[:number])


def cosine_basis(size: int, number: int) -> Tensor:
    """Basis pictures of the orthonormal DCT-II in zigzag order, (number, size²) float64."""
    steps = torch.arange(size, dtype=torch.double)
    waves = torch.cos(torch.pi / size * (steps + 0.5) * steps[:, None]) * (2 / size) ** 0.5
    waves[0] *= 0.5**0.5
    rows, columns = zigzag(size, number).t()
    return torch.einsum('dy,dx->dyx', waves[rows], waves[columns]).flatten(1)


def assumed_dictionary(size: int, number: int) -> Dictionary:
    """The cosine basis with mean 0 and variances that fall with the square of the frequency.

    √var = m · logit / (3 · max(frequency, 1)), for logits of ±logit. On masks of COCO this is right within a fifth for
    93 of the first 100 codes.
    """
    frequency = zigzag(size, number).double().norm(dim=1).clamp(min=1)
    variance = (size * log((1 - EPS) / EPS) / 3 / frequency).square()
    basis, mean = cosine_basis(size, number), torch.zeros(1, size**2)
    return Dictionary(basis[None], mean, variance[None], (variance / variance.sum())[None])


def assume_dictionaries(model: nn.Module) -> None:
    """Give codecs that wait for their file a dictionary of the same size, for counting and measuring."""
    for codec in model.modules():
        if isinstance(codec, PCAMaskCodec) and not codec.fitted:
            found = assumed_dictionary(codec.mask_size, codec.num_codes)
            classes = codec.num_classes or 1
            repeated = [x.expand(classes, *x.shape[1:]) for x in found[:-1]]
            codec.take(Dictionary(*repeated, sigmoid=codec.sigmoid != 'none'))


@MODELS.register_module()
class DCTMaskCodec(PCAMaskCodec):
    """The same products as `PCAMaskCodec` with D lowest frequencies in zigzag order for components.

    Without a dictionary it works at once: the mean is 0 and codes are whitened by a fixed scale (`assumed_dictionary`).
    With one, mean and scale are those of the data that it was fitted to.

    Args:
        mask_size: m.
        num_codes: D.
        whiten: codes of variance about 1.
        dictionary: .npz of ``tools/analysis/fit_mask_codec.py --codec dct``, or None.

    Raises:
        ValueError: a dictionary that does not fit, or of other components.
    """

    def __init__(
        self,
        *,
        mask_size: int = 28,
        num_codes: int = 60,
        whiten: bool = True,
        dictionary: str | Path | None = None,
    ) -> None:
        super().__init__(mask_size=mask_size, num_codes=num_codes, whiten=whiten, dictionary=dictionary)
        if dictionary is None:
            self.take(assumed_dictionary(mask_size, num_codes))

    def take(self, dictionary: Dictionary, *, source: str = 'the dictionary') -> None:
        super().take(dictionary, source=source)
        wanted = cosine_basis(self.mask_size, self.num_codes).to(self.components)
        if not torch.allclose(self.components, wanted, atol=1e-5):
            raise ValueError(f'{source}: its components are no cosines; see fit_mask_codec.py --codec dct')
