"""Importing this module registers every component of mmagg with mmdet's registries.

A config names it: `custom_imports = dict(imports=['mmagg.register'])`.
"""

from mmagg import backbones, detectors, engine, evaluation, heads, losses, masks, necks, postprocess, targets
from mmagg.datasets import load_polygons
