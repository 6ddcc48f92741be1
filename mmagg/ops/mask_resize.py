"""From mask probabilities at map size to binary masks at image size, a few at a time.

Shape shorthand: N masks, n of them in a chunk, (h, w) map size, (H, W) image size.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

CACHE_BYTES = 8 * 2**20


def chunk_size(bytes_per_item: int, byte_budget: int) -> int:
    """How many items of `bytes_per_item` bytes fit into `byte_budget` bytes; at least one."""
    return max(1, byte_budget // max(1, bytes_per_item))


def cached_budget(byte_budget: int, device: torch.device) -> int:
    """What of a byte budget element-wise passes should use.

    On the CPU, passes over a chunk that stays in the caches are two to three times as fast as over fresh memory.
    """
    return min(byte_budget, CACHE_BYTES) if torch.device(device).type == 'cpu' else byte_budget


def resize_masks(probs: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Bilinear resize (align_corners=False).

    Args:
        probs: (N, h, w).
        size: (H, W) wanted.

    Returns:
        (N, H, W); `probs` itself if it has that size already.
    """
    if probs.shape[1:] == tuple(size):
        return probs
    if len(probs) == 0:  # F.interpolate refuses
        return probs.new_zeros(0, *size)
    return F.interpolate(probs[None], size=tuple(size), mode='bilinear', align_corners=False)[0]


def full_size_masks(
    probs: Tensor,
    *,
    upsampled_size: tuple[int, int],
    crop: tuple[int, int],
    out_size: tuple[int, int],
    mask_thr: float,
    byte_budget: int,
) -> Iterator[tuple[slice, Tensor]]:
    """Binary masks of the original image, in chunks.

    Each mask is resized to the network's padded input, cropped to the image in it, resized to the original
    image and only then thresholded, as in mmdet's SOLO heads.

    Args:
        probs: (N, h, w) mask probabilities.
        upsampled_size: (height, width) of the padded network input.
        crop: (height, width) of the image in it, without the padding.
        out_size: (H, W) of the original image.
        mask_thr: a pixel is inside if its probability is above this.
        byte_budget: bytes that the tensors of a chunk may take together (one mask is always done).

    Yields:
        The chunk's place among the N masks, and its masks (n, H, W) bool.
    """
    floats = sum(height * width for height, width in (upsampled_size, crop, out_size))
    bools = 2 * out_size[0] * out_size[1]  # the result, and a copy of it by whoever encodes it
    chunk = chunk_size(4 * floats + bools, cached_budget(byte_budget, probs.device))
    for start in range(0, len(probs), chunk):
        part = slice(start, min(start + chunk, len(probs)))
        # The intermediate sizes live in the expression alone: nothing but the result outlasts the yield.
        yield (
            part,
            resize_masks(resize_masks(probs[part], size=upsampled_size)[:, : crop[0], : crop[1]], size=out_size)
            > mask_thr,
        )


def areas_and_sums(probs: Tensor, *, mask_thr: float, byte_budget: int) -> tuple[Tensor, Tensor]:
    """Area of masks and the sum of the probabilities inside.

    Args:
        probs: (N, h, w) mask probabilities.
        mask_thr: a pixel is inside if its probability is above this.
        byte_budget: bytes that the tensors of a chunk may take together (one mask is always done).

    Returns:
        (N,) float32 pixels and (N,) sums.
    """
    areas, sums = probs.new_zeros(2, len(probs), dtype=torch.float32)
    chunk = chunk_size(9 * probs[:1].numel(), cached_budget(byte_budget, probs.device))
    for start in range(0, len(probs), chunk):
        part = slice(start, start + chunk)
        soft = probs[part]
        binary = soft > mask_thr
        areas[part] = binary.view(torch.uint8).sum((1, 2), dtype=torch.int32).float()  # faster than of bools
        sums[part] = (soft * binary).sum((1, 2))
    return areas, sums


def boxes_from_masks(masks: Tensor) -> Tensor:
    """Tight boxes around masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, 4) float32 boxes x1, y1, x2, y2 in pixels, x2 and y2 exclusive; zeros for empty masks.
    """
    if 0 in masks.shape:  # amax and argmax refuse
        return torch.zeros(len(masks), 4, device=masks.device)
    pixels = masks.view(torch.uint8)  # the maximum of bytes is many times as fast as `any`
    columns, rows = pixels.amax(1).int(), pixels.amax(2).int()  # (N, W), (N, H)
    x1, y1 = columns.argmax(1), rows.argmax(1)
    x2 = columns.shape[1] - columns.flip(1).argmax(1)
    y2 = rows.shape[1] - rows.flip(1).argmax(1)
    return torch.stack([x1, y1, x2, y2], 1).float() * columns.amax(1)[:, None]
