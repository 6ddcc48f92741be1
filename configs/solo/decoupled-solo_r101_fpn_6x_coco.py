"""Decoupled SOLO, ResNet-101, 72 epochs (SOLO, Table 1)."""

_base_ = './solo_r101_fpn_6x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(type='DecoupledMaskBranch')))
