"""Detectors: only what mmdet's cannot express."""

from mmagg.models.detectors.mask_tta import MaskTTAModel

__all__ = ['MaskTTAModel']
