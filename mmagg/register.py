"""Importing this module registers every component of mmagg with mmdet's registries.

A config names it: `custom_imports = dict(imports=['mmagg.register'])`.
"""

from mmagg import engine, heads, masks, necks, postprocess, targets
