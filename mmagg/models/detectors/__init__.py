"""Detectors that mmdet does not have."""

from mmagg.models.detectors.mask_tta import MaskTTAModel

__all__ = ['MaskTTAModel']
