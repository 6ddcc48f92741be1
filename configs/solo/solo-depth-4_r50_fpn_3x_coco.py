"""Towers of four layers (SOLO, Table 5)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(class_tower=dict(num_convs=4), mask_branch=dict(num_convs=4)))
