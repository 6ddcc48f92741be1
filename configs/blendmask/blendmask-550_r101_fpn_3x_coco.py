"""BlendMask at 550 pixels on ResNet-101, the paper's most precise BlendMask-RT (BlendMask, Table 9)."""

_base_ = './blendmask-550_r50_fpn_3x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet101_caffe')))
