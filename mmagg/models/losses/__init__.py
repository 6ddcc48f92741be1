"""Losses that mmdet does not have."""

from mmagg.models.losses.distance_iou import DistanceIoULoss, distance_iou

__all__ = ['DistanceIoULoss', 'distance_iou']
