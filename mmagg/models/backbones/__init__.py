"""Backbones that mmdet does not have."""

from mmagg.models.backbones.efficientnet_lite import EfficientNetLite
from mmagg.models.backbones.resnet_dcn_interval import ResNetDCNInterval

__all__ = ['EfficientNetLite', 'ResNetDCNInterval']
