"""BlendMask on generated shapes, from boxes alone: no mask is loaded."""

_base_ = './blendmask_tiny_shapes.py'

model = dict(
    data_preprocessor=dict(type='BoxesOnlyDataPreprocessor', bottom=0),
    mask_head=dict(
        masks=dict(
            type='BlendedMasksFromBoxes',
            mask_targets=dict(type='BoxInstTargets'),
            loss_mask=dict(type='BoxInstLoss', warmup=200),
        ),
        semantic=None,
    ),
    train_cfg=dict(max_positives=128),  # their masks are as large as the image
)

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='LoadAnnotations', with_bbox=True)
test_pipeline = _base_.test_pipeline
test_pipeline[2] = dict(type='LoadAnnotations', with_bbox=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
