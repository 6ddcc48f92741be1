"""AggMask on SOLO on EfficientNet-B0 of timm."""

_base_ = ['../aggmask/aggmask-solo_r50_fpn_3x_coco.py', '../_base_/backbones/timm-efficientnet-b0.py']

model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels),
)
