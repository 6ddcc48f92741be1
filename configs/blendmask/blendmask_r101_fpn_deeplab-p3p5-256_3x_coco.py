"""The final model on ResNet-101 (BlendMask, Table 8)."""

_base_ = './blendmask_r50_fpn_deeplab-p3p5-256_3x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet101_caffe')))
