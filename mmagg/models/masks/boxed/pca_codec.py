"""Principal components of masks (MEInst, Eqs. 1 and 2).

    v = T u,  ũ = W v                                                 encoding and decoding (MEInst, Eq. 1)

u is a mask or its logits, centred; the rows of T = Wᵀ are the principal components of the training set's masks.

Shape shorthand: N masks, m mask size, D length of a code, C classes (1 where all share a dictionary).
"""

from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmagg.models.masks.boxed.cosine_basis import cosine_basis, zigzag
from mmagg.models.masks.boxed.mask_codec import EPS, SIGMOIDS, MaskCodec, full_precision, mask_logits, read_arrays


class Dictionary(NamedTuple):
    """A linear code, as the release's file holds it."""

    components: Tensor
    """(C, D, m²) orthonormal rows."""
    mean: Tensor
    """(C, m²)"""
    explained_variance: Tensor
    """(C, D)"""
    ratio: Tensor
    """(C, D) share of the total variance."""
    sigmoid: bool = True
    """True if fitted to logits, False if to the masks themselves."""

    def first(self, number: int) -> 'Dictionary':
        """The dictionary of the first components."""
        return self._replace(
            components=self.components[:, :number],
            explained_variance=self.explained_variance[:, :number],
            ratio=self.ratio[:, :number],
        )

    def write(self, path: Path) -> None:
        """Write the release's .npz, float32, with `sigmoid` as one more key."""
        arrays = {f'{name}_c': getattr(self, name).float().cpu().numpy() for name in self._fields[:-1]}
        np.savez(path, **arrays, sigmoid=self.sigmoid)

    @classmethod
    def read(cls, path: Path) -> 'Dictionary':
        """Read an .npz of the release or of `write`.

        Raises:
            ValueError: another kind of file.
        """
        arrays = read_arrays(path)
        try:
            tensors = {name: torch.from_numpy(arrays[f'{name}_c']).float() for name in cls._fields[:-1]}
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path}: no dictionary of a linear mask code ({error}); see mmagg fit-mask-codec'
            ) from error
        found = cls(**tensors, sigmoid=bool(arrays.get('sigmoid', True)))
        classes, number, pixels = (1, 1, 1) if found.components.ndim != 3 else found.components.shape
        wanted = [(classes, number, pixels), (classes, pixels), (classes, number), (classes, number)]
        if [x.shape for x in tensors.values()] != wanted:
            raise ValueError(f'{path}: its arrays do not fit together ({[tuple(x.shape) for x in tensors.values()]})')
        if not (found.explained_variance > 0).all():
            raise ValueError(f'{path}: a component without variance, which codes are divided by')
        return found

    @classmethod
    def assumed(cls, size: int, number: int, *, sigmoid: bool = True) -> 'Dictionary':
        """The DCT basis with mean 0 and variances that fall with the square of the frequency; it needs no data.

        √var = m · logit / (3 · max(frequency, 1)), for logits of ±logit; masks are 1/2 ± 1/2. On masks of COCO this is
        within a fifth of the measured value for 93 of the first 100 codes.

        Args:
            size: m.
            number: D.
            sigmoid: of logits; False: of the masks themselves.

        Returns:
            D components of m² pixels for one class, in float64.
        """
        frequency = zigzag(size, number).double().norm(dim=1).clamp(min=1)
        amplitude = log((1 - EPS) / EPS) if sigmoid else 0.5
        variance = (size * amplitude / 3 / frequency).square()
        basis = cosine_basis(size, number)
        ratio = variance / variance.sum()
        return cls(basis[None], basis.new_zeros(1, size**2), variance[None], ratio[None], sigmoid)


@MODELS.register_module()
class PCAMaskCodec(MaskCodec):
    """Projection on principal components (MEInst, Eq. 1), whitened by the components' variances.

    Args:
        mask_size: m.
        num_codes: D; of a dictionary with more components the first ones are taken.
        num_classes: C, one dictionary per class; None: one for all.
        whiten: divide codes by √var, so that each has variance 1; else errors of all pixels count the same.
        sigmoid: the logits that are projected, see `mask_logits`; 'random' is the release's. 'constant' and 'random'
            take any dictionary of logits.
        dictionary: .npz of the release or of tools/analysis/fit_mask_codec.py.

    Raises:
        ValueError: an unknown `sigmoid`, or a dictionary that does not fit.
    """

    evidence = 'explained_variance'
    components: Tensor
    mean: Tensor
    explained_variance: Tensor

    def __init__(
        self,
        *,
        mask_size: int = 28,
        num_codes: int = 60,
        num_classes: int | None = None,
        whiten: bool = True,
        sigmoid: str = 'constant',
        dictionary: str | Path | None = None,
    ) -> None:
        super().__init__(mask_size=mask_size, num_codes=num_codes, dictionary=dictionary)
        if sigmoid not in SIGMOIDS:
            raise ValueError(f'{type(self).__name__}: sigmoid is {sigmoid!r}; it must be one of {SIGMOIDS}')
        self.num_classes, self.whiten, self.sigmoid = num_classes, whiten, sigmoid
        classes = () if num_classes is None else (num_classes,)
        self.register_buffer('components', torch.zeros(*classes, num_codes, mask_size**2))
        self.register_buffer('mean', torch.zeros(*classes, mask_size**2))
        self.register_buffer('explained_variance', torch.zeros(*classes, num_codes))
        self.read_if_there()

    def read(self, path: Path) -> None:
        self.take(Dictionary.read(path), source=str(path))

    def assume(self) -> None:
        found = Dictionary.assumed(self.mask_size, self.num_codes, sigmoid=self.sigmoid != 'none')
        components, mean, variance, ratio = (x.expand(self.num_classes or 1, *x.shape[1:]) for x in found[:-1])
        self.take(Dictionary(components, mean, variance, ratio, found.sigmoid))

    def take(self, dictionary: Dictionary, *, source: str = 'the dictionary') -> None:
        """Use a dictionary; `source` is what messages call it.

        Raises:
            ValueError: other sizes, or a dictionary of masks where logits are projected, or the other way round.
        """
        (classes, number, pixels), dictionary = dictionary.components.shape, dictionary.first(self.num_codes)
        if (classes, pixels) != (self.num_classes or 1, self.mask_size**2) or number < self.num_codes:
            raise ValueError(
                f'{source} has {number} components of {pixels} pixels for {classes} classes; wanted are '
                f'{self.num_codes} of {self.mask_size}² = {self.mask_size**2} for {self.num_classes or 1}'
            )
        if dictionary.sigmoid != (self.sigmoid != 'none'):
            raise ValueError(
                f'{source} describes {"logits" if dictionary.sigmoid else "masks"}, which sigmoid={self.sigmoid!r} '
                'does not fit'
            )
        for name in ('components', 'mean', 'explained_variance'):
            buffer = self.get_buffer(name)
            buffer.copy_(getattr(dictionary, name).reshape(buffer.shape))
        self.fitted = True

    def encode(self, masks: Tensor, labels: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        """v = (u - mean) Tᵀ / √var, as in `MaskCodec`; `noise` are the draws of sigmoid='random', see `mask_logits`.

        Raises:
            ValueError: there is no dictionary yet, or there is one per class and no labels.
        """
        self.require_content()
        index = self._index(labels)
        with full_precision(masks):
            centred = mask_logits(masks, sigmoid=self.sigmoid, noise=noise) - self.mean[index]
            codes = centred @ self.components.flatten(0, -2).t()
        if self.num_classes is not None:  # one product with all dictionaries: no copy of a dictionary for each mask
            codes = codes.unflatten(1, (self.num_classes, -1))[torch.arange(len(codes), device=codes.device), index]
        return codes * self.explained_variance[index].rsqrt() if self.whiten else codes

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """u = (√var v) T + mean, as in `MaskCodec`; raises as `encode` does."""
        self.require_content()
        index = self._index(labels)
        codes = codes.float()
        if self.whiten:
            codes = codes * self.explained_variance[index].sqrt()
        if self.num_classes is not None:  # zeros for the other classes' components
            own = index[:, None] == torch.arange(self.num_classes, device=index.device)
            codes = (own[..., None] * codes[:, None]).flatten(1)
        with full_precision(codes):
            masks = codes @ self.components.flatten(0, -2) + self.mean[index]
        if self.sigmoid == 'none':
            masks = masks.logit(eps=1e-4)  # clamped to a probability
        return masks.unflatten(1, (self.mask_size, self.mask_size))

    def _index(self, labels: Tensor | None) -> Any:
        """The index of each mask's dictionary, a tensor; a slice of all, if they share one."""
        if self.num_classes is None:
            return slice(None)
        if labels is None:
            raise ValueError(f'{type(self).__name__}: a dictionary for each class needs the labels')
        return labels
