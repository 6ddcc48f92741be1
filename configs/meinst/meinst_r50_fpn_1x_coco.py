"""800 pixels at a single scale, constant warm-up over 500 iterations from a third (MEInst, Table 2, N = 60)."""

_base_ = ['../_base_/models/meinst_r50_fpn.py', '../_base_/coco_polygons_1x.py']

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='Resize', scale=(1333, 800), keep_ratio=True, backend='pillow')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = [
    dict(type='ConstantLR', factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
