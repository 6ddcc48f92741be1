"""Necks: from a backbone's stages to the levels that a head works on."""

from .a2fpn import A2FPN
from .bypass import BypassNeck
from .merged_level import MergedLevel

__all__ = ['A2FPN', 'BypassNeck', 'MergedLevel']
