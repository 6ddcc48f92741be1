"""Tensors in, tensors out: no registry, no config, no state; torch alone at import."""

from .grid import append_coordinates, points_nms
from .mask_iou import mask_iou
from .mask_nms import mask_nms, matrix_nms
from .mask_resize import boxes_from_masks, chunk_size, full_size_masks, resize_masks
from .mask_voting import mask_voting
from .rle import masks_to_rle, rle_to_masks

__all__ = [
    'append_coordinates',
    'boxes_from_masks',
    'chunk_size',
    'full_size_masks',
    'mask_iou',
    'mask_nms',
    'mask_voting',
    'masks_to_rle',
    'matrix_nms',
    'points_nms',
    'resize_masks',
    'rle_to_masks',
]
