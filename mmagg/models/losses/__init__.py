"""Losses that mmdet does not have."""

from mmagg.models.losses.boxinst import BoxInstLoss
from mmagg.models.losses.class_mask_dice import ClassMaskDiceLoss
from mmagg.models.losses.distance_iou import DistanceIoULoss, distance_iou
from mmagg.models.losses.mask_losses import CosineDistanceLoss, per_mask

__all__ = ['BoxInstLoss', 'ClassMaskDiceLoss', 'CosineDistanceLoss', 'DistanceIoULoss', 'distance_iou', 'per_mask']
