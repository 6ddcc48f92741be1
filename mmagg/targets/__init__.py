"""Which cell, pixel or location learns which object."""

from .grid_cell_assigner import GridCellAssigner, GridTargets, downsample_masks

__all__ = ['GridCellAssigner', 'GridTargets', 'downsample_masks']
