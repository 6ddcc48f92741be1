"""BlendMask on ConvNeXt-T of timm."""

_base_ = ['../blendmask/blendmask_r50_fpn_1x_coco.py', '../_base_/backbones/timm-convnext-tiny.py']

model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, **_base_.optimiser),
    paramwise_cfg=dict(**_base_.paramwise),
)
