"""AggMask on SOLOv2 with finer class grids, ResNet-101 (AggMask, Table 3)."""

_base_ = './aggmask-solov2_r50_fpn_cls-grid_6x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
