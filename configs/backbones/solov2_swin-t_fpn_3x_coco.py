"""SOLOv2 on Swin-T."""

_base_ = ['../solov2/solov2_r50_fpn_3x_coco.py', '../_base_/backbones/swin-t.py']

model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, **_base_.optimiser),
    paramwise_cfg=dict(**_base_.paramwise),
)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(start_factor=0.001, end=1000)
