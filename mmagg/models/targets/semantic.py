"""Semantic maps from instance masks, for BlendMask's auxiliary loss (Table 7): no other annotation is needed.

Shape shorthand: N instances of one image, M ignored ones, (H, W) padded input of the network, (h, w) target.
"""

import numpy as np
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as coco_mask
from torch import Tensor


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

    Where masks overlap, the later one wins, as in the authors' code. Ignored instances (crowds) count too and come
    last, where COCO lists them.

    Args:
        masks: of the N instances, at the network's scale; may end before the padding does.
        labels: (N,) long classes.
        ignored_masks: of the M ignored instances; they may end elsewhere.
        ignored_labels: (M,) long.
        size: (H, W).
        stride: pixels per target pixel, in both directions.

    Returns:
        (h, w) long, on the labels' device: 0 for background and padding, c + 1 for class c.
    """
    layers, numbers = [masks], [labels.new_zeros(1), labels + 1]
    if ignored_masks is not None:
        layers.append(ignored_masks)  # smaller, where mmdet has padded those of the instances
        numbers.append(ignored_labels + 1)
    last = np.zeros([-(-side // stride) for side in size], dtype=np.int64)  # number of the last instance, from 1
    count = 0
    for layer in layers:
        inside = every_nth(layer, stride)
        order = np.arange(count + 1, count + len(inside) + 1, dtype=np.int16)[:, None, None]
        part = last[: inside.shape[1], : inside.shape[2]]
        np.maximum(part, (inside * order).max(0, initial=0), out=part)
        count += len(inside)
    return torch.cat(numbers)[torch.from_numpy(last).to(labels.device)]


def every_nth(masks: BitmapMasks | PolygonMasks, stride: int) -> np.ndarray:
    """Masks -> (N, h, w) bool: every `stride`-th pixel of every `stride`-th row, from the top left."""
    if isinstance(masks, BitmapMasks):
        return masks.masks[:, ::stride, ::stride] != 0
    small = np.zeros((len(masks), -(-masks.height // stride), -(-masks.width // stride)), dtype=bool)
    for out, polygons in zip(small, masks, strict=True):
        rle = coco_mask.merge(coco_mask.frPyObjects(polygons, masks.height, masks.width))
        out[:] = sample_rle(rle['counts'], masks.height, stride, out.shape)
    return small


def sample_rle(counts: bytes, height: int, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """Every `stride`-th pixel of every `stride`-th row of a mask that is given as COCO's compressed RLE.

    Many times as fast as decoding the mask: only the borders of the runs are looked at.

    Args:
        counts: the RLE.
        height: of the mask.
        stride: pixels per pixel of the result.
        shape: (h, w) of the result.

    Returns:
        (h, w) bool.
    """
    borders = np.cumsum(run_lengths(counts))[:-1]  # the last run ends with the mask
    column, row = np.divmod(borders, height)
    row = np.where(column % stride, height, row)  # in a column that is left out: the next one's top has to flip
    first = column // stride * shape[0] + -(-row // stride)  # pixel of the result, column by column, that flips
    flips = np.bincount(first, minlength=shape[0] * shape[1])[: shape[0] * shape[1]]
    return (np.cumsum(flips) % 2).astype(bool).reshape(shape[::-1]).T


def run_lengths(counts: bytes) -> np.ndarray:
    """COCO's compressed RLE -> (R,) lengths of its runs, column by column, background first.

    A length is written as the difference to the last but one (but for the first three), in groups of five bits, the
    lowest first: a byte is 48 plus the group, plus 32 if more follow. Bit 16 of the last group is the sign.
    """
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(groups < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shift = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((groups & 31) << shift, starts)
    runs -= np.where(groups[ends] & 16, 32 << shift[ends], 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs
