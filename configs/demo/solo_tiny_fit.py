"""The demo's model, to fit a handful of real images (`--coco DIR`): more pixels, no flips, many passes."""

_base_ = './solo_tiny_shapes.py'

size = (320, 320)
model = dict(
    mask_head=dict(grids=(24,), mask_branch=dict(map_init_std=0.01)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = size
del train_pipeline[3]  # flips
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = size
train_dataloader = dict(batch_size=7, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 300
train_cfg = dict(max_epochs=max_epochs, val_interval=100)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 30
param_scheduler[1].end = max_epochs
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))
log_processor = dict(window_size=10)
