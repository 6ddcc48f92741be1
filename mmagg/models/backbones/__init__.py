"""Backbones that mmdet does not have."""

from mmagg.models.backbones.efficientnet_lite import EfficientNetLite
from mmagg.models.backbones.resnet_dcn_interval import ResNetDCNInterval
from mmagg.models.backbones.timm_features import TimmFeatures

__all__ = ['EfficientNetLite', 'ResNetDCNInterval', 'TimmFeatures']
