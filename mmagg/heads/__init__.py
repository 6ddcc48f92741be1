"""Heads: what a pyramid becomes detections with."""

from .grid_mask_head import GridMaskHead

__all__ = ['GridMaskHead']
