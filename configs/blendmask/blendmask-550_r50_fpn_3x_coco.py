"""BlendMask at 550 pixels (BlendMask, Table 9): P3 to P6, one tower of three layers for classes and boxes."""

_base_ = './blendmask_r50_fpn_3x_coco.py'

model = dict(
    neck=dict(num_outs=4),
    mask_head=dict(
        boxes=dict(
            strides=(8, 16, 32, 64),
            shared_tower=dict(num_convs=3, bias=True, norm_cfg=dict(type='GN', num_groups=32)),
            class_tower=None,
            box_tower=None,
            assigner=dict(ranges=((-1, 64), (64, 128), (128, 256), (256, 1e8))),
        ),
        masks=dict(basis=dict(num_convs=2)),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scales = [(916, side) for side in range(440, 551, 22)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (916, 550)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
