"""Alignment of the category branch: the mean of dense samples (SOLO, Sec. 3.3)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(class_align='region_grid'))
