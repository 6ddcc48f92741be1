"""Importing this module registers every component of mmagg with mmdet's registries, and makes `mmagg::` known.

A config names it: `custom_imports = dict(imports=['mmagg.register'])`.
"""

from mmagg import engine
from mmagg.datasets import crop_on_instance, instance_contours, load_polygons, three_channels
from mmagg.engine.config_names import announce
from mmagg.evaluation import coco_instance_metric, lvis_star_metric
from mmagg.models import backbones, detectors, heads, losses, masks, necks, postprocess, targets
from mmagg.visualization import rle_visualizer
from mmagg.weights import packaged

announce()
