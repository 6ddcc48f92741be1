"""SOLOv2 in its early form, ResNet-101 (AggMask, Tables 2 and 3)."""

_base_ = './solov2-early_r50_fpn_6x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
