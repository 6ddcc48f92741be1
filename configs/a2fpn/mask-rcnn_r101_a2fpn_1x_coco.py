"""A2-FPN in Mask R-CNN, ResNet-101 (A2-FPN, Table 1)."""

_base_ = './mask-rcnn_r50_a2fpn_1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
