"""COCO, 72 epochs, short side 640 to 800."""

_base_ = './coco_3x.py'

train_cfg = dict(max_epochs=72)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=72, milestones=[54, 66])
