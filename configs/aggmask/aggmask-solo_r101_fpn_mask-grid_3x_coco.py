"""AggMask on SOLO with coarser mask grids, ResNet-101 (AggMask, Table 3)."""

_base_ = './aggmask-solo_r50_fpn_mask-grid_3x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
