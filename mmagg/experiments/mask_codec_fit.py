"""Fitting mask codecs and measuring how much of the masks they keep (MEInst, Eq. 2, Sec. 4.1, Figure 5).

Shape shorthand: N masks, n of them in a chunk, m mask size, D codes of a mask, C classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmagg.experiments.object_masks import ObjectMasks
from mmagg.models.masks import AutoEncoderMaskCodec, MaskCodec
from mmagg.models.masks.boxed.cosine_basis import cosine_basis
from mmagg.models.masks.boxed.mask_codec import mask_logits
from mmagg.models.masks.boxed.pca_codec import Dictionary

ROUNDING = 1e-12  # variances below this share of a row's mean square are none
SIZES = ('small', 'medium', 'large')
LIMITS = (32**2, 96**2)  # pixels of area between COCO's sizes
BATCH = 256

# The covariance


class Moments:
    """Mean and covariance of rows that come a few at a time, in float64 and constant memory.

    Args:
        width: numbers in a row.
        device: where it is computed.
    """

    def __init__(self, width: int, device: str | torch.device = 'cpu') -> None:
        self.count = 0
        self._sum = torch.zeros(width, dtype=torch.double, device=device)
        self._products = torch.zeros(width, width, dtype=torch.double, device=device)

    def add(self, rows: Tensor) -> None:
        """(n, width) float64."""
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._products.addmm_(rows.t(), rows)

    @property
    def least(self) -> float:
        """Smaller variances are rounding errors."""
        return float(ROUNDING * self._products.trace() / self.count)

    @property
    def mean(self) -> Tensor:
        """(width,)"""
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """(width, width), with the divisor count - 1."""
        return (self._products - self._sum.outer(self.mean)) / max(self.count - 1, 1)


def moments_of(
    masks: ObjectMasks, *, sigmoid: str = 'constant', seed: int = 0, device: str | torch.device = 'cpu'
) -> Moments:
    """Moments of the masks' logits (`mask_logits`).

    Args:
        masks: N of them.
        sigmoid: as the codec has it.
        seed: of the draws of sigmoid='random', which are NumPy's as in the release.
        device: where it is computed.
    """
    noise = np.random.RandomState(seed)
    moments = Moments(masks.size**2, device)
    with tqdm(total=len(masks), desc='covariance', unit='mask', delay=1) as bar:
        for chunk in masks.chunks():
            pixels = chunk.pixels(device)
            draws = torch.from_numpy(noise.rand(*pixels.shape)).to(device) if sigmoid == 'random' else None
            moments.add(mask_logits(pixels, sigmoid=sigmoid, noise=draws, dtype=torch.double))
            bar.update(len(chunk))
    return moments


# Linear codes


def principal_components(moments: Moments, *, sigmoid: bool = True) -> Dictionary:
    """The optimum of Eq. 2: the eigenvectors of the covariance, by falling variance, as far as there is any.

    The sign of a component is free: its largest entry by absolute value is positive.

    Args:
        moments: of masks.
        sigmoid: whether of their logits.
    """
    variance, vectors = torch.linalg.eigh(moments.covariance)
    variance, components = variance.flip(0), vectors.flip(1).t()
    rank = min(int((variance > moments.least).sum()), moments.count - 1)
    components = components[:rank]
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    return _dictionary(components * largest.sign(), moments, variance[:rank])._replace(sigmoid=sigmoid)


def cosines(moments: Moments, number: int) -> Dictionary:
    """The cosine basis with mean and variances of the masks.

    Raises:
        ValueError: there is a frequency among the first `number` in which all masks are the same.
    """
    basis = cosine_basis(round(len(moments.mean) ** 0.5), number).to(moments.mean)
    variance = ((basis @ moments.covariance) * basis).sum(1)
    if not (variance > moments.least).all():
        raise ValueError(f'{moments.count} masks that are all the same in one of the first {number} frequencies')
    return _dictionary(basis, moments, variance)


def _dictionary(components: Tensor, moments: Moments, variance: Tensor) -> Dictionary:
    ratio = variance / moments.covariance.trace()
    return Dictionary(*(x[None].float().cpu() for x in (components, moments.mean, variance, ratio)))


def per_class(masks: ObjectMasks, shared: Dictionary, number: int, **options: str | int | torch.device) -> Dictionary:
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
    return Dictionary(*map(torch.cat, zip(*parts, strict=True)), sigmoid=shared.sigmoid)


# The auto-encoder


def train_autoencoder(
    codec: AutoEncoderMaskCodec, masks: ObjectMasks, start: Dictionary, *, iterations: int, rate: float = 1e-3
) -> None:
    """Train a codec, from a PCA on, to predict the masks' pixels.

    Masks are flipped and turned at random: without, it learns a few thousand masks by heart.

    Args:
        codec: on the device to train on.
        masks: to learn from.
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
    """(n, m, m) masks, each in one of the eight positions of a square."""
    for swap in (lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.transpose(1, 2)):
        chosen = torch.rand(len(masks), 1, 1, device=masks.device) < 0.5
        masks = torch.where(chosen, swap(masks), masks)
    return masks


# The error


def size_of(areas: np.ndarray) -> np.ndarray:
    """(N,) areas in pixels of the image -> (N,) indices into `SIZES`."""
    return np.digitize(areas, LIMITS)


class PixelCounts:
    """Pixels of masks and of what a codec makes of them, by the size of the object.

    Attributes:
        counts: (3, 4) int64: for each of `SIZES` the pixels inside both, inside the codec's, inside the mask, and all.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(len(SIZES), 4, dtype=torch.long)

    def add(self, decoded: Tensor, masks: Tensor, areas: np.ndarray) -> None:
        """(n, m, m) bool of the codec, (n, m, m) bool, (n,) areas in pixels of the image."""
        inside = [x.flatten(1).sum(1).cpu() for x in (decoded & masks, decoded, masks)]
        own = torch.stack([*inside, torch.full_like(inside[0], masks[:1].numel())], dim=1)
        self.counts.index_add_(0, torch.from_numpy(size_of(areas)), own)

    def errors(self) -> dict[str, float | None]:
        """1 - mIoU, all objects together and by size; None where there are none.

        mIoU is the mean of background's and foreground's IoU, over the pixels of all masks as in one picture.
        """
        return {
            name: _error(*counts.tolist())
            for name, counts in zip(('all', *SIZES), (self.counts.sum(0), *self.counts), strict=True)
        }


def _error(common: int, decoded: int, wanted: int, pixels: int) -> float | None:
    unions = decoded + wanted - common, pixels - common
    if not all(unions):
        return None
    return 1 - (common / unions[0] + (pixels - unions[0]) / unions[1]) / 2


def reconstruction_errors(
    codec: MaskCodec, masks: ObjectMasks, dims: Sequence[int] | None = None
) -> list[dict[str, float | None]]:
    """The upper bound of Sec. 4.1: what is lost by encoding and decoding.

    Args:
        codec: on the device to compute on.
        masks: to encode.
        dims: numbers of codes to decode from, the others being 0 (linear codecs); None: D.

    Returns:
        for each of `dims` what `PixelCounts.errors` returns.
    """
    dims = [codec.num_codes] if dims is None else dims
    device = codec.get_buffer(codec.evidence).device
    counts = [PixelCounts() for _ in dims]
    with tqdm(total=len(masks), desc='error', unit='mask', delay=1) as bar, torch.no_grad():
        for chunk in masks.chunks():
            pixels, labels = chunk.pixels(device), torch.from_numpy(chunk.labels).to(device)
            codes = codec.encode(pixels, labels)
            for number, count in zip(dims, counts, strict=True):
                kept = codes * (torch.arange(codes.shape[1], device=device) < number)
                count.add(codec.decode(kept, labels) >= 0, pixels.bool(), chunk.areas)
            bar.update(len(chunk))
    return [count.errors() for count in counts]
