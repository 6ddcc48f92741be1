"""The error of masks that a codec encodes and decodes (MEInst, Sec. 4.1, Figure 5).

Shape shorthand: N masks, n of them in a chunk, m mask size, D codes of a mask.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmagg.experiments.object_masks import ObjectMasks
from mmagg.models.masks import MaskCodec
from mmagg.ops import resize_masks

SIZES = ('small', 'medium', 'large')
LIMITS = (32**2, 96**2)  # pixels of area between COCO's sizes


def size_of(areas: np.ndarray) -> np.ndarray:
    """(N,) areas in pixels of the image -> (N,) indices into `SIZES`."""
    return np.digitize(areas, LIMITS)


class Errors(TypedDict):
    """1 - mIoU, all objects together and by size; None where there are none."""

    all: float | None
    small: float | None
    medium: float | None
    large: float | None


class PixelCounts:
    """Counts of pixels of masks and of decoded masks, by the size of the object.

    Attributes:
        counts: (3, 4) int64: for each of `SIZES` the pixels in both, in the decoded mask, in the mask, and all.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(len(SIZES), 4, dtype=torch.long)

    def add(self, decoded: Tensor, masks: Tensor, areas: np.ndarray) -> None:
        """Add decoded masks (n, m, m) bool, masks (n, m, m) bool, and the (n,) areas in pixels of the image."""
        inside = [x.flatten(1).sum(1).cpu() for x in (decoded & masks, decoded, masks)]
        own = torch.stack([*inside, torch.full_like(inside[0], masks[:1].numel())], dim=1)
        self.counts.index_add_(0, torch.from_numpy(size_of(areas)), own)

    def errors(self) -> Errors:
        """The errors of what was added.

        mIoU is the mean of the IoU of background and foreground, each over the pixels of all masks together.
        """
        together, small, medium, large = (_error(*each.tolist()) for each in (self.counts.sum(0), *self.counts))
        return Errors(all=together, small=small, medium=medium, large=large)


def _error(common: int, decoded: int, wanted: int, pixels: int) -> float | None:
    unions = decoded + wanted - common, pixels - common
    if not all(unions):
        return None
    return 1 - (common / unions[0] + (pixels - unions[0]) / unions[1]) / 2


def reconstruction_errors(
    codec: MaskCodec, masks: ObjectMasks, dims: Sequence[int] | None = None, *, fine: ObjectMasks | None = None
) -> list[Errors]:
    """The errors of encoded and decoded masks: the upper bound of MEInst, Sec. 4.1.

    Args:
        codec: on the device to compute on.
        masks: to encode.
        dims: numbers of codes to decode from, with 0 for the others (linear codecs); None: D.
        fine: the same masks in another size R, with which decoded ones are compared, resized as by pasting them; so
            errors of codecs of several sizes m can be compared. None: `masks`.

    Returns:
        The result of `PixelCounts.errors` for each of `dims`.
    """
    dims = [codec.num_codes] if dims is None else dims
    device = next(codec.buffers()).device
    counts = [PixelCounts() for _ in dims]
    with tqdm(total=len(masks), desc='error', unit='mask', delay=1) as bar, torch.no_grad():
        start = 0
        for chunk in masks.chunks():
            pixels, labels = chunk.pixels(device), torch.from_numpy(chunk.labels).to(device)
            codes = codec.encode(pixels, labels)
            wanted = pixels if fine is None else fine[start : start + len(chunk)].pixels(device)
            start += len(chunk)
            for number, count in zip(dims, counts, strict=True):
                kept = codes * (torch.arange(codes.shape[1], device=device) < number)
                logits = codec.decode(kept, labels)
                decoded = logits >= 0
                if fine is not None:
                    decoded = resize_masks(logits.sigmoid(), size=(fine.size, fine.size)) >= 0.5
                count.add(decoded, wanted.bool(), chunk.areas)
            bar.update(len(chunk))
    return [count.errors() for count in counts]
