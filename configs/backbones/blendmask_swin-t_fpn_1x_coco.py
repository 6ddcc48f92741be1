"""BlendMask on Swin-T."""

_base_ = ['../blendmask/blendmask_r50_fpn_1x_coco.py', '../_base_/backbones/swin-t.py']

backbone = _base_.backbone
backbone.update(out_indices=(1, 2, 3))  # the norm of a level that nobody reads would learn nothing
model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **backbone),
    neck=dict(in_channels=_base_.in_channels[1:], start_level=0),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, **_base_.optimiser),
    paramwise_cfg=dict(**_base_.paramwise),
)
