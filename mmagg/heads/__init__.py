"""Heads: what a pyramid becomes detections with."""

from .boxed_mask_head import BoxedMaskHead
from .coefficients import Coefficients
from .grid_mask_head import GridMaskHead
from .location_head import LocationHead

__all__ = ['BoxedMaskHead', 'Coefficients', 'GridMaskHead', 'LocationHead']
