"""Necks: from a backbone's stages to the levels that a head works on."""

from .merged_level import MergedLevel

__all__ = ['MergedLevel']
