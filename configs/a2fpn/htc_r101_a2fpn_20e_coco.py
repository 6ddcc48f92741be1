"""A2-FPN in Hybrid Task Cascade, ResNet-101 (A2-FPN, Table 1)."""

_base_ = './htc_r50_a2fpn_20e_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
