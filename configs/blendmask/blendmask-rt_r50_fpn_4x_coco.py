"""BlendMask-RT (Table 9): P3 to P5, 512 pixels, a backbone that is trained whole, 360k iterations (300k, 340k)."""

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

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadPolygonAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(900, side) for side in range(256, 609, 32)],
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='Resize', scale=(736, 512), keep_ratio=True, backend='pillow'),
    dict(type='LoadPolygonAnnotations'),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=49)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=49, milestones=[41, 46], gamma=0.1),
]
