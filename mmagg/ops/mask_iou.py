"""Pairwise IoU of binary masks.

Shape shorthand: N masks of (H, W) pixels, P = H·W.
"""

import torch
from torch import Tensor

from mmagg.ops.byte_budget import cached_budget, chunk_size


def mask_iou(masks: Tensor, *, byte_budget: int = 64 * 2**20) -> Tensor:
    """IoU of every mask with every other.

        IoU_ij = |M_i ∩ M_j| / |M_i ∪ M_j|

    All intersections are one matrix product of the flattened masks, summed over blocks of pixels to bound the memory of
    their float copy. Counts are exact in float32 for masks of up to 2²⁴ pixels.

    Args:
        masks: (N, H, W) bool.
        byte_budget: bytes of the float copy of a block.

    Returns:
        (N, N) float32, symmetric. An empty mask has IoU 0 with all masks, itself included.
    """
    flat = masks.flatten(1)  # (N, P)
    block = chunk_size(4 * len(flat), cached_budget(byte_budget, masks.device))
    inter = torch.empty(len(flat), len(flat), device=masks.device)
    for start in range(0, flat.shape[1], block):
        part = flat[:, start : start + block].float()
        inter.addmm_(part, part.t(), beta=min(start, 1))  # in place: autocast would count in half precision
    area = inter.diagonal()
    union = area[None] + area[:, None] - inter
    return inter / union.clamp(min=1)
