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
train_pipeline[2:3] = [
    dict(type='RandomCropOnInstance', crop_type='relative_range', crop_size=(0.9, 0.9)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), keep_empty=False),
    dict(type='RandomResize', scale=[(1440, 640), (1440, 864)], keep_ratio=True, backend='pillow'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=55)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=55, milestones=[38, 49])
