"""Alignment of the category branch: adaptive max-pooling (SOLO, Sec. 3.3)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(class_align='adaptive_pool'))
