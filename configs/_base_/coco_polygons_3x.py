"""270k iterations of 16 images, steps at 210k and 250k."""

_base_ = './coco_polygons_1x.py'

train_cfg = dict(max_epochs=37)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=37, milestones=[29, 34], gamma=0.1),
]
