"""BlendMask on EfficientNet-Lite0."""

_base_ = ['../blendmask/blendmask_r50_fpn_1x_coco.py', '../_base_/backbones/lite0.py']

model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels),
)
