"""Which cell, pixel or location learns which object."""

from .atss_location_assigner import ATSSLocationAssigner
from .box_masks import box_mask_targets
from .grid_cell_assigner import GridCellAssigner, GridTargets, downsample_masks
from .location_assigner import LocationAssigner, boxes_around, distances_to_sides, location_points
from .semantic import semantic_target

__all__ = [
    'ATSSLocationAssigner',
    'GridCellAssigner',
    'GridTargets',
    'LocationAssigner',
    'box_mask_targets',
    'boxes_around',
    'distances_to_sides',
    'downsample_masks',
    'location_points',
    'semantic_target',
]
