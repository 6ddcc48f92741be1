"""Short side 384 to 544, tested at 512 (in the authors' release, not in the paper)."""

_base_ = './meinst_r50_fpn_3x_coco.py'

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadPolygonAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(384, 545, 32)],
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='Resize', scale=(1333, 512), keep_ratio=True, backend='pillow'),
    dict(type='LoadPolygonAnnotations'),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
