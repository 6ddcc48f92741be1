_base_ = '../blendmask/blendmask_r50_fpn_1x_coco.py'

model = dict(
    data_preprocessor=dict(type='BoxesOnlyDataPreprocessor'),
    mask_head=dict(
        masks=dict(
            type='BlendedMasksFromBoxes',
            mask_targets=dict(type='BoxInstTargets'),
            loss_mask=dict(type='BoxInstLoss'),
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
