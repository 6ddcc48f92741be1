"""Scores of predictions against annotations."""

from .coco_instance_metric import COCOInstanceMetric
from .coco_scores import coco_scores, read_annotations
from .lvis_star_metric import LVISStarMetric

__all__ = ['COCOInstanceMetric', 'LVISStarMetric', 'coco_scores', 'read_annotations']
