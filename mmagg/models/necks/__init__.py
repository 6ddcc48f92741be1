"""Necks: from a backbone's stages to a feature pyramid."""

from mmagg.models.necks.a2fpn import A2FPN
from mmagg.models.necks.bypass import BypassNeck
from mmagg.models.necks.merged_level import MergedLevel

__all__ = ['A2FPN', 'BypassNeck', 'MergedLevel']
