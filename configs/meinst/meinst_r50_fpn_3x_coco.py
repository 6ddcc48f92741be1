"""270k iterations of 16 images, steps at 180k and 240k."""

_base_ = ['../_base_/models/meinst_r50_fpn.py', '../_base_/coco_polygons_3x.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=37, milestones=[25, 33], gamma=0.1),
]
