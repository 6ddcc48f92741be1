"""CondInst whose masks are aggregated from those of the neighbouring locations (not in the paper), in epochs."""

_base_ = 'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py'

custom_imports = dict(imports=['mmagg.register'])

model = dict(
    bbox_head=dict(type='AggMaskCondInstBboxHead'),
    mask_head=dict(type='AggMaskCondInstMaskHead', location_channels=256),
)

train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
