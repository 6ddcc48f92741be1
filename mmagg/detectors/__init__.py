"""Detectors: only what mmdet's cannot express."""

from .mask_tta import MaskTTAModel

__all__ = ['MaskTTAModel']
