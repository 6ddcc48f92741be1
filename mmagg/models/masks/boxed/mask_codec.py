"""Masks as short vectors (MEInst, Sec. 3.2): the interface, and the principal components of Eq. 1 and 2.

Shape shorthand: N masks, m mask size, D codes of a mask, C classes (1 where all share a dictionary).
"""

import zipfile
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

SIGMOIDS = ('constant', 'random', 'none')
NOISE, LEAST = 0.05, 0.01  # the release's eps is max(NOISE · U(0, 1), LEAST), drawn for each pixel
# This constant's logit is the mean of theirs, so that dictionaries fitted with either are the same but for the noise.
EPS = 0.02255


def mask_logits(
    masks: Tensor, *, sigmoid: str, noise: Tensor | None = None, dtype: torch.dtype = torch.float
) -> Tensor:
    """What a dictionary describes: masks before a sigmoid, x -> logit of 1 - eps inside and of eps outside.

    Args:
        masks: (N, m, m) or (N, m²) in {0, 1}, of any type.
        sigmoid: 'constant' for a fixed eps; 'random' for the release's, drawn anew for each pixel; 'none' for the
            masks themselves.
        noise: the draws of 'random', of the masks' shape, uniform in [0, 1); None: from PyTorch's generator.
        dtype: of the result.

    Returns:
        (N, m²).
    """
    inside = (masks.flatten(1) > 0.5).to(dtype)
    if sigmoid == 'none':
        return inside
    if sigmoid == 'constant':
        return (2 * inside - 1) * log((1 - EPS) / EPS)
    noise = torch.rand_like(inside) if noise is None else noise.flatten(1).to(dtype)
    eps = (NOISE * noise).clamp(min=LEAST)
    return (2 * inside - 1) * ((1 - eps) / eps).log()


def full_precision(x: Tensor) -> AbstractContextManager:
    """Outside of autocast's range on the device of x; on the meta device there is no autocast to leave."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class MaskCodec(nn.Module, ABC):
    """Masks as short vectors.

    What it has learnt is part of the state dict and frozen. Without it (no dictionary file yet, no checkpoint loaded),
    it refuses to work.

    Args:
        mask_size: m.
        num_codes: D, at most m².
        dictionary: file of tools/analysis/fit_mask_codec.py. Where it is absent, a checkpoint must bring the content.

    Attributes:
        fitted: whether it has its content. A Python bool, as looking into buffers would wait for the device.

    Raises:
        ValueError: D is not in 1 to m².
    """

    evidence: str  # the buffer that is zero until the content is there

    def __init__(self, *, mask_size: int, num_codes: int, dictionary: str | Path | None) -> None:
        super().__init__()
        if not 1 <= num_codes <= mask_size**2:
            raise ValueError(
                f'{type(self).__name__}: num_codes is {num_codes}; of {mask_size} x {mask_size} pixels '
                f'there are 1 to {mask_size**2}'
            )
        self.mask_size, self.num_codes, self.dictionary = mask_size, num_codes, dictionary
        self.fitted = False

    @abstractmethod
    def encode(self, masks: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, m, m) in {0, 1}, of any type, and (N,) classes -> (N, D) float32."""

    @abstractmethod
    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, D) and (N,) classes -> (N, m, m) logits, float32."""

    @abstractmethod
    def read(self, path: Path) -> None:
        """Take the content of a dictionary file.

        Raises:
            ValueError: it is another kind of file, or of other sizes.
        """

    def read_if_there(self) -> None:
        """Take the content of `dictionary`, which constructors end with."""
        if self.dictionary is not None and Path(self.dictionary).exists():
            self.read(Path(self.dictionary))

    def require_content(self) -> None:
        """Raises ValueError where there is none. Tensors without values (FLOPs are counted on them) need none."""
        if not self.fitted and not self.get_buffer(self.evidence).is_meta:
            missing = 'no `dictionary` is given' if self.dictionary is None else f'{self.dictionary} is missing'
            raise ValueError(
                f'{type(self).__name__}: {missing} and no checkpoint has been loaded; '
                'make one with tools/analysis/fit_mask_codec.py --coco DIR --out FILE.npz'
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        given = state_dict.get(prefix + self.evidence)
        if given is not None and not given.is_meta:
            self.fitted = bool(given.any())


class Dictionary(NamedTuple):
    """A linear code, as the release's file holds it."""

    components: Tensor
    """(C, D, m²) orthonormal rows."""
    mean: Tensor
    """(C, m²)"""
    explained_variance: Tensor
    """(C, D)"""
    ratio: Tensor
    """(C, D) share of the whole variance."""
    sigmoid: bool = True
    """Whether it describes logits; the masks themselves otherwise."""

    def first(self, number: int) -> 'Dictionary':
        """Its first components."""
        return self._replace(
            components=self.components[:, :number],
            explained_variance=self.explained_variance[:, :number],
            ratio=self.ratio[:, :number],
        )

    def write(self, path: Path) -> None:
        """Write it as the release's .npz, float32; a key more says `sigmoid`."""
        arrays = {f'{name}_c': getattr(self, name).float().cpu().numpy() for name in self._fields[:-1]}
        np.savez(path, **arrays, sigmoid=self.sigmoid)

    @classmethod
    def read(cls, path: Path) -> 'Dictionary':
        """Read it.

        Raises:
            ValueError: it is another kind of file.
        """
        arrays = read_arrays(path)
        try:
            tensors = [torch.from_numpy(arrays[f'{name}_c']).float() for name in cls._fields[:-1]]
        except (KeyError, TypeError) as error:
            raise ValueError(f'{path}: no dictionary of a linear mask code ({error}); see fit_mask_codec.py') from error
        found = cls(*tensors, sigmoid=bool(arrays.get('sigmoid', True)))
        classes, number, pixels = (1, 1, 1) if found.components.ndim != 3 else found.components.shape
        wanted = [(classes, number, pixels), (classes, pixels), (classes, number), (classes, number)]
        if [x.shape for x in tensors] != wanted:
            raise ValueError(f'{path}: its arrays do not fit together ({[tuple(x.shape) for x in tensors]})')
        if not (found.explained_variance > 0).all():
            raise ValueError(f'{path}: a component without variance, which codes are divided by')
        return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path}: no .npz of arrays ({" ".join(str(error).split())})') from error


@MODELS.register_module()
class PCAMaskCodec(MaskCodec):
    """Projection on principal components (Eq. 1): encode (z - mean) Cᵀ / √var, decode v (C √var) + mean.

    Args:
        mask_size: m.
        num_codes: D; of a dictionary with more components the first ones are taken.
        num_classes: C dictionaries, one a class; None: one for all.
        whiten: codes of variance 1, by the division by √var; else all errors in pixels count the same.
        sigmoid: what is projected, see `mask_logits`. 'random' is the release's: it can be trained with any dictionary
            of logits, as 'constant' can.
        dictionary: .npz of the release or of tools/analysis/fit_mask_codec.py.

    Raises:
        ValueError: an unknown `sigmoid`, or a dictionary that does not fit.
    """

    evidence = 'explained_variance'

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

    def take(self, dictionary: Dictionary, *, source: str = 'the dictionary') -> None:
        """Use a dictionary; `source` is what messages call it.

        Raises:
            ValueError: it is of other sizes, or of masks where logits are wanted or the other way round.
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
        """Masks -> codes.

        Args:
            masks: (N, m, m) in {0, 1}, of any type.
            labels: (N,) classes, needed if each has its dictionary.
            noise: the draws of sigmoid='random', see `mask_logits`.

        Returns:
            (N, D) float32, also under autocast.

        Raises:
            ValueError: there is no dictionary yet, or labels are missing.
        """
        self.require_content()
        labels = self._labels(labels)
        with full_precision(masks):
            centred = mask_logits(masks, sigmoid=self.sigmoid, noise=noise) - self.mean[labels]
            codes = centred @ self.components.flatten(0, -2).t()
        if self.num_classes is not None:  # one product with all dictionaries: theirs would be copied for each mask
            codes = codes.unflatten(1, (self.num_classes, -1))[torch.arange(len(codes), device=codes.device), labels]
        return codes * self.explained_variance[labels].rsqrt() if self.whiten else codes

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes -> masks.

        Args:
            codes: (N, D).
            labels: (N,) classes, needed if each has its dictionary.

        Returns:
            (N, m, m) logits, float32, also under autocast.

        Raises:
            ValueError: there is no dictionary yet, or labels are missing.
        """
        self.require_content()
        labels = self._labels(labels)
        codes = codes.float()
        if self.whiten:
            codes = codes * self.explained_variance[labels].sqrt()
        if self.num_classes is not None:  # zero for the other classes' components
            own = labels[:, None] == torch.arange(self.num_classes, device=labels.device)
            codes = (own[..., None] * codes[:, None]).flatten(1)
        with full_precision(codes):
            masks = codes @ self.components.flatten(0, -2) + self.mean[labels]
        if self.sigmoid == 'none':
            masks = masks.logit(eps=1e-4)  # clamped to a probability
        return masks.unflatten(1, (self.mask_size, self.mask_size))

    def _labels(self, labels: Tensor | None) -> Tensor | slice:
        """What selects each mask's dictionary: nothing, where all share one."""
        if self.num_classes is None:
            return slice(None)
        if labels is None:
            raise ValueError(f'{type(self).__name__}: a dictionary for each class needs the labels')
        return labels
