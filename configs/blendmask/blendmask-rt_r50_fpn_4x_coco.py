"""The release's BlendMask-RT: P3 to P5, 512 pixels, no frozen stages, 360k iterations (300k, 340k)."""

_base_ = './blendmask-550_r50_fpn_3x_coco.py'

model = dict(
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False, frozen_stages=-1),
    neck=dict(num_outs=3),
    mask_head=dict(
        boxes=dict(
            strides=(8, 16, 32),
            assigner=dict(ranges=((-1, 64), (64, 128), (128, 1e8))),
        ),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(900, side) for side in range(256, 609, 32)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (736, 512)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=49)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=49, milestones=[41, 46])
