"""Deformable convolutions in every third block, crops, larger images, 400k iterations (280k, 360k)."""

_base_ = './blendmask_r101_fpn_3x_coco.py'

model = dict(
    backbone=dict(
        type='ResNetDCNInterval',
        dcn=dict(type='DCNv2', deform_groups=1),
        stage_with_dcn=(False, True, True, True),
        dcn_interval=3,
    )
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(1440, side) for side in range(640, 865, 32)]
train_pipeline.insert(
    2, dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.9, 0.9), allow_negative_crop=True)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=55)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=55, milestones=[38, 49])
