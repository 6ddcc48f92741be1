"""Pixel coordinates in the mask tower's first three layers (SOLO, Table 3)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(coordinates=3)))
