"""SOLOv2 light: 2 layers of 256 channels, 128 mask features, short side 448."""

_base_ = './solov2_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        class_tower=dict(channels=256, num_convs=2),
        mask_branch=dict(channels=256, num_convs=2, out_channels=128),
        assigner=dict(scale_ranges=((1, 56), (28, 112), (56, 224), (112, 448), (224, 896))),
    )
)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(768, 512), (768, 480), (768, 448), (768, 416), (768, 384), (768, 352)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args={{_base_.backend_args}}),
    dict(type='Resize', scale=(768, 448), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
