"""Tensors in, tensors out: no registry, no config, no state; torch and NumPy alone at import."""

from mmagg.ops.bilinear import Taps, interpolation_matrix, taps_of, upsampling_adjoint
from mmagg.ops.byte_budget import budget_on, chunk_size
from mmagg.ops.conv_at import conv_at, conv_on_levels
from mmagg.ops.dynamic_conv import DynamicConvSpec, dynamic_conv, dynamic_conv_of_gathered
from mmagg.ops.dynamic_conv import backends as dynamic_conv_backends
from mmagg.ops.fused import channel_weights, in_few_launches, unit_vectors, weigh_and_add_
from mmagg.ops.grid import append_coordinates, points_nms
from mmagg.ops.grid_neighbours import grid_neighbours, num_neighbours
from mmagg.ops.mask_iou import mask_iou
from mmagg.ops.mask_nms import mask_nms, matrix_nms
from mmagg.ops.mask_paste import paste_masks, pasted_windows
from mmagg.ops.mask_resize import (
    areas_and_sums,
    boxes_from_masks,
    full_size_masks,
    full_size_windows,
    mapped_windows,
    resize_masks,
)
from mmagg.ops.mask_voting import mask_voting
from mmagg.ops.mask_windows import MaskWindows, write_windows
from mmagg.ops.reassembly import reassemble_down, reassemble_up
from mmagg.ops.reassembly_choice import backends as reassembly_backends
from mmagg.ops.rle import all_windows_to_rle, masks_to_rle, rle_to_masks, windows_to_rle
from mmagg.ops.roi_pool import roi_pool
from mmagg.ops.upload import upload
from mmagg.ops.window_ops import backends as window_backends
from mmagg.ops.window_table import PackedWindows

# The backend of each op that has several, in words.
BACKENDS = {
    'mask windows': window_backends,
    'dynamic_conv': dynamic_conv_backends,
    'reassemble_up': reassembly_backends,
    'reassemble_down': reassembly_backends,
}

__all__ = [
    'BACKENDS',
    'DynamicConvSpec',
    'MaskWindows',
    'PackedWindows',
    'Taps',
    'all_windows_to_rle',
    'append_coordinates',
    'areas_and_sums',
    'boxes_from_masks',
    'budget_on',
    'channel_weights',
    'chunk_size',
    'conv_at',
    'conv_on_levels',
    'dynamic_conv',
    'dynamic_conv_of_gathered',
    'full_size_masks',
    'full_size_windows',
    'grid_neighbours',
    'in_few_launches',
    'interpolation_matrix',
    'mapped_windows',
    'mask_iou',
    'mask_nms',
    'mask_voting',
    'masks_to_rle',
    'matrix_nms',
    'num_neighbours',
    'paste_masks',
    'pasted_windows',
    'points_nms',
    'reassemble_down',
    'reassemble_up',
    'resize_masks',
    'rle_to_masks',
    'roi_pool',
    'taps_of',
    'unit_vectors',
    'upload',
    'upsampling_adjoint',
    'weigh_and_add_',
    'windows_to_rle',
    'write_windows',
]
