"""BlendMask on ConvNeXt-T of mmpretrain."""

_base_ = ['../blendmask/blendmask_r50_fpn_1x_coco.py', '../_base_/backbones/convnext-t.py']

custom_imports = _base_.imports
backbone = _base_.backbone
backbone.update(out_indices=(1, 2, 3))  # the norm of a level that nobody reads would learn nothing
model = dict(
    data_preprocessor=_base_.normalisation,
    backbone=dict(_delete_=True, **backbone),
    neck=dict(in_channels=_base_.in_channels[1:], start_level=0),
)
optim_wrapper = dict(
    constructor='LearningRateDecayOptimizerConstructor',
    optimizer=dict(_delete_=True, **_base_.optimiser),
    paramwise_cfg=dict(_delete_=True, **_base_.paramwise),
)
