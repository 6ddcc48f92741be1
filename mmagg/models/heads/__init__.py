"""Heads: from a feature pyramid to detections."""

from mmagg.models.heads.boxed_mask_head import BoxedMaskHead
from mmagg.models.heads.condinst_heads import AggMaskCondInstBboxHead, AggMaskCondInstMaskHead
from mmagg.models.heads.grid_mask_head import GridMaskHead
from mmagg.models.heads.location_head import LocationHead
from mmagg.models.heads.semantic_head import SemanticHead

__all__ = [
    'AggMaskCondInstBboxHead',
    'AggMaskCondInstMaskHead',
    'BoxedMaskHead',
    'GridMaskHead',
    'LocationHead',
    'SemanticHead',
]
