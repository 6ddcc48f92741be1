"""SOLO, ResNet-101, 72 epochs (SOLO, Table 1)."""

_base_ = ['../_base_/models/solo_r50_fpn.py', '../_base_/coco_6x.py']

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
