"""COCO, 72 epochs, short side 640 to 800."""

_base_ = './coco_3x.py'

train_cfg = dict(max_epochs=72)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=72, milestones=[54, 66], gamma=0.1),
]
