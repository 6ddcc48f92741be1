"""Semantic targets from instance masks, for the auxiliary loss ("+semantic" in BlendMask, Table 7).

Shape shorthand: N instances of one image, M ignored ones, (H, W) padded input of the network, (h, w) target.
"""

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

from mmagg.ops import upload
from mmagg.rle.codes import outline_to_rle
from mmagg.rle.lengths import run_lengths


def semantic_target(
    masks: BitmapMasks | PolygonMasks,
    labels: Tensor,
    ignored_masks: BitmapMasks | PolygonMasks | None = None,
    ignored_labels: Tensor | None = None,
    *,
    size: tuple[int, int],
    stride: int = 8,
) -> Tensor:
    """The class of every `stride`-th pixel of one image.

    Where masks overlap, the later one wins, as in the release. Ignored instances (crowds) count too, and come last as
    in COCO's files.

    Args:
        masks: masks of the N instances at the network's scale, without all or some of the padding.
        labels: (N,) long classes.
        ignored_masks: masks of the M ignored instances; their size may differ.
        ignored_labels: (M,) long.
        size: (H, W).
        stride: pixels per target pixel, in both directions.

    Returns:
        (h, w) long, on the labels' device: 0 for background and padding, c + 1 for class c.
    """
    layers, numbers = [masks], [labels.new_zeros(1), labels + 1]
    if ignored_masks is not None and ignored_labels is not None:
        layers.append(ignored_masks)  # mmdet pads the masks of the instances only
        numbers.append(ignored_labels + 1)
    last = np.zeros([-(-side // stride) for side in size], dtype=np.int64)  # number of the last instance, from 1
    count = 0
    for layer in layers:
        inside = every_nth(layer, stride)
        order = np.arange(count + 1, count + len(inside) + 1, dtype=np.int16)[:, None, None]
        part = last[: inside.shape[1], : inside.shape[2]]
        np.maximum(part, (inside * order).max(0, initial=0), out=part)
        count += len(inside)
    return torch.cat(numbers)[upload(last, labels.device)]


def every_nth(masks: BitmapMasks | PolygonMasks, stride: int) -> np.ndarray:
    """Masks -> (N, h, w) bool: every `stride`-th pixel of every `stride`-th row, from the top left."""
    if isinstance(masks, BitmapMasks):
        return masks.masks[:, ::stride, ::stride] != 0
    small = np.zeros((len(masks), -(-masks.height // stride), -(-masks.width // stride)), dtype=bool)
    for out, polygons in zip(small, masks, strict=True):
        runs = run_lengths(outline_to_rle(polygons, masks.height, masks.width)['counts'])
        out[:] = sample_runs(runs, masks.height, stride, out.shape)
    return small


def sample_runs(runs: np.ndarray, height: int, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """Every `stride`-th pixel of every `stride`-th row of a mask given as RLE, from the borders of its runs.

    Args:
        runs: (R,) lengths, see `run_lengths`.
        height: of the mask.
        stride: pixels per pixel of the result.
        shape: (h, w) of the result.

    Returns:
        (h, w) bool.
    """
    borders = np.cumsum(runs)[:-1]  # the last run ends with the mask
    column, row = np.divmod(borders, height)
    row = np.where(column % stride, height, row)  # a border in a column that is left out flips the next one's top
    first = column // stride * shape[0] + -(-row // stride)  # the pixel of the result, column by column, that flips
    flips = np.bincount(first, minlength=shape[0] * shape[1])[: shape[0] * shape[1]]
    return (np.cumsum(flips) % 2).astype(bool).reshape(shape[::-1]).T
