"""Training targets: the assignment of objects to cells, locations and pixels."""

from mmagg.models.targets.atss_location_assigner import ATSSLocationAssigner
from mmagg.models.targets.box_masks import box_mask_targets
from mmagg.models.targets.boxes_only import BoxesOnlyDataPreprocessor, BoxInstTargets
from mmagg.models.targets.grid_cell_assigner import GridCellAssigner, GridTargets, downsample_masks
from mmagg.models.targets.location_assigner import (
    LocationAssigner,
    boxes_around,
    distances_to_sides,
    location_points,
    location_table,
)
from mmagg.models.targets.semantic import semantic_target

__all__ = [
    'ATSSLocationAssigner',
    'BoxInstTargets',
    'BoxesOnlyDataPreprocessor',
    'GridCellAssigner',
    'GridTargets',
    'LocationAssigner',
    'box_mask_targets',
    'boxes_around',
    'distances_to_sides',
    'downsample_masks',
    'location_points',
    'location_table',
    'semantic_target',
]
