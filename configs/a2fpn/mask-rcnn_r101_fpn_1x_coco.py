"""Mask R-CNN with FPN in the paper's schedule, ResNet-101 (A2-FPN, Table 1, a starred row)."""

_base_ = './mask-rcnn_r50_fpn_1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
