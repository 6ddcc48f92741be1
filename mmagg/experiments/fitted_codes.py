"""Codes fitted to masks: principal components (MEInst, Eq. 2), the cosine basis of the DCT, or an auto-encoder.

Shape shorthand: N masks, n of them in a chunk, m mask size, D codes of a mask, C classes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmagg.experiments.object_masks import ObjectMasks
from mmagg.io.errors import InputError
from mmagg.models.masks import AutoEncoderMaskCodec
from mmagg.models.masks.boxed.cosine_basis import cosine_basis
from mmagg.models.masks.boxed.mask_codec import mask_logits
from mmagg.models.masks.boxed.pca_codec import Dictionary

ROUNDING = 1e-12  # variances below this share of a row's mean square are rounding errors
BATCH = 256

# The covariance


class Moments:
    """Mean and covariance of rows of `width` numbers, added a few at a time, in float64 and constant memory."""

    def __init__(self, width: int, device: str | torch.device = 'cpu') -> None:
        self.count = 0
        self._sum = torch.zeros(width, dtype=torch.double, device=device)
        self._products = torch.zeros(width, width, dtype=torch.double, device=device)

    def add(self, rows: Tensor) -> None:
        """Add rows (n, width), float64."""
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._products.addmm_(rows.t(), rows)

    @property
    def least(self) -> float:
        """The least variance that is no rounding error."""
        return float(ROUNDING * self._products.trace() / self.count)

    @property
    def mean(self) -> Tensor:
        """(width,) mean of the rows."""
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """(width, width) covariance, with the divisor count - 1."""
        return (self._products - self._sum.outer(self.mean)) / max(self.count - 1, 1)


def moments_of(
    masks: ObjectMasks, *, sigmoid: str = 'constant', seed: int = 0, device: str | torch.device = 'cpu'
) -> Moments:
    """Moments of the masks' logits; the arguments are those of `logits_of`."""
    moments = Moments(masks.size**2, device)
    for rows in logits_of(masks, sigmoid=sigmoid, seed=seed, device=device):
        moments.add(rows)
    return moments


def logits_of(masks: ObjectMasks, *, sigmoid: str, seed: int, device: str | torch.device) -> Iterator[Tensor]:
    """The masks' logits (`mask_logits`), a chunk at a time.

    Args:
        masks: N of them.
        sigmoid: as of the codec.
        seed: of the draws of sigmoid='random', which are NumPy's as in the release.
        device: of the computation.

    Yields:
        (n, m²) float64.
    """
    noise = np.random.RandomState(seed)
    with tqdm(total=len(masks), desc='covariance', unit='mask', delay=1) as bar:
        for chunk in masks.chunks():
            pixels = chunk.pixels(device)
            draws = torch.from_numpy(noise.rand(*pixels.shape)).to(device) if sigmoid == 'random' else None
            yield mask_logits(pixels, sigmoid=sigmoid, noise=draws, dtype=torch.double)
            bar.update(len(chunk))


# Linear codes


def principal_components(moments: Moments, *, sigmoid: bool = True) -> Dictionary:
    """The optimum of MEInst, Eq. 2: the eigenvectors of the covariance that have any variance, by falling variance.

    The sign of a component is free; here its entry with the largest absolute value is positive.

    Args:
        moments: of masks.
        sigmoid: True if they are those of the masks' logits.
    """
    variance, vectors = torch.linalg.eigh(moments.covariance)
    variance, components = variance.flip(0), vectors.flip(1).t()
    rank = min(int((variance > moments.least).sum()), moments.count - 1)
    components = components[:rank]
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    total = moments.covariance.trace()
    return _dictionary(components * largest.sign(), moments.mean, variance[:rank], total)._replace(sigmoid=sigmoid)


def dct_dictionary(masks: ObjectMasks, number: int, *, device: str | torch.device = 'cpu') -> Dictionary:
    """The first `number` vectors of the DCT's cosine basis, with mean and variances of the masks' logits.

    Of these, a variance for each frequency is needed, no covariance of m² pixels: that of 128 x 128 takes 2 GiB.

    Raises:
        InputError: in one of these frequencies all masks are the same.
    """
    basis = cosine_basis(masks.size, number).to(device)
    codes = Moments(number, device)
    summed = basis.new_zeros(masks.size**2)
    squares = basis.new_zeros(())
    for rows in logits_of(masks, sigmoid='constant', seed=0, device=device):
        codes.add(rows @ basis.t())
        summed += rows.sum(0)
        squares += rows.square().sum()
    mean, variance = summed / codes.count, codes.covariance.diagonal()
    if not (variance > ROUNDING * squares / codes.count).all():
        raise InputError(f'{codes.count} masks that are all the same in one of the first {number} frequencies')
    return _dictionary(basis, mean, variance, (squares - summed @ mean) / (codes.count - 1))


def _dictionary(components: Tensor, mean: Tensor, variance: Tensor, total: Tensor) -> Dictionary:
    """One for all classes, of D components (D, m²), the mean (m²,), variances (D,) and their sum over all m²."""
    components, mean, variance, ratio = (x[None].float().cpu() for x in (components, mean, variance, variance / total))
    return Dictionary(components, mean, variance, ratio)


def per_class_components(masks: ObjectMasks, shared: Dictionary, number: int, **options: Any) -> Dictionary:
    """A dictionary for each class; a class whose masks do not differ in `number` directions takes the shared one.

    Args:
        masks: of all classes.
        shared: principal components of all of them.
        number: D.
        options: of `moments_of`.
    """
    parts = []
    for label in range(len(masks.classes)):
        own = masks[masks.labels == label]
        fitted = shared
        if len(own) > number:
            fitted = principal_components(moments_of(own, **options), sigmoid=shared.sigmoid)
        enough = fitted.components.shape[1] >= number
        parts.append((fitted if enough else shared).first(number)[:-1])
    components, mean, variance, ratio = map(torch.cat, zip(*parts, strict=True))
    return Dictionary(components, mean, variance, ratio, shared.sigmoid)


# The auto-encoder


def train_autoencoder(
    codec: AutoEncoderMaskCodec, masks: ObjectMasks, start: Dictionary, *, iterations: int, rate: float = 1e-3
) -> None:
    """Train an auto-encoder, which starts as a PCA, to predict the masks' pixels.

    Masks are flipped and turned at random: otherwise, it would overfit to a few thousand masks.

    Args:
        codec: on the device to train on.
        masks: the training data.
        start: at least D principal components of the masks' logits.
        iterations: steps of 256 masks.
        rate: Adam's first learning rate, which falls to 0 as a cosine.
    """
    device = codec.code_mean.device
    codec.start_at(start)
    codec.requires_grad_(True)
    optimiser = torch.optim.Adam(codec.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for _ in tqdm(range(iterations), desc=f'auto-encoder of {codec.num_codes}', unit='step', delay=1):
        batch = turned(masks[torch.randint(len(masks), (BATCH,)).numpy()].pixels(device))
        loss = F.binary_cross_entropy_with_logits(codec.decode(codec.encode(batch)), batch.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    codec.requires_grad_(False)
    chunks = tqdm(list(masks.chunks()), desc='codes', unit='chunk', delay=2, leave=False)
    codes = torch.cat([codec.encode(chunk.pixels(device)) for chunk in chunks])
    codec.code_mean.copy_(codes.mean(0))
    codec.code_scale.copy_(codes.std(0))


def turned(masks: Tensor) -> Tensor:
    """Masks (n, m, m), each flipped or rotated at random to one of the eight positions of a square."""
    for swap in (lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.transpose(1, 2)):
        chosen = torch.rand(len(masks), 1, 1, device=masks.device) < 0.5
        masks = torch.where(chosen, swap(masks), masks)
    return masks
