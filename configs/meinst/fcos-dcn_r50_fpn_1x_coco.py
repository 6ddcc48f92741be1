"""FCOS: MEInst without its masks, and so without what they cost (MEInst, Table 6, first row)."""

_base_ = './meinst_r50_fpn_1x_coco.py'

model = dict(mask_head=dict(masks=None, coefficients=None))

boxes_alone = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = _base_.train_pipeline
train_pipeline[1] = boxes_alone
test_pipeline = _base_.test_pipeline
test_pipeline[2] = boxes_alone
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
