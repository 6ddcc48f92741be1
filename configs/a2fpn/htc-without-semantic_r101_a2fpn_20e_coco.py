"""A2-FPN in Hybrid Task Cascade without the semantic branch, ResNet-101."""

_base_ = './htc-without-semantic_r50_a2fpn_20e_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
