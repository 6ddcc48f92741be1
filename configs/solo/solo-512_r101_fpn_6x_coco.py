"""SOLO-512 (SOLO, Table 6), ResNet-101."""

_base_ = './solo-512_r50_fpn_6x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
