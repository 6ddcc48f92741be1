"""As `own_320.py`, at 512 pixels."""

_base_ = './own_320.py'

size = (853, 512)
train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = size
train_pipeline[3].crop_size = (672, 672)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
