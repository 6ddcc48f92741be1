"""SOLOv2 on EfficientNet-Lite0."""

_base_ = ['../solov2/solov2_r50_fpn_3x_coco.py', '../_base_/backbones/lite0.py']

model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels),
)
