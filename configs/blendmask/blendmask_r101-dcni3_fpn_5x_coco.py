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

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadPolygonAnnotations'),
    dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.9, 0.9), allow_negative_crop=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1440, side) for side in range(640, 865, 32)],
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=55)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=55, milestones=[38, 49], gamma=0.1),
]
