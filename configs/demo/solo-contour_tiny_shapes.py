"""The demo's SOLO, which learns the outlines of the shapes."""

_base_ = './solo_tiny_shapes.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='InstanceContours'))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_pipeline = [*_base_.test_pipeline[:-1], dict(type='InstanceContours'), _base_.test_pipeline[-1]]  # for --val-loss
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))

val_evaluator = dict(metric=['bbox'])
test_evaluator = val_evaluator
