"""Mask2Former with the first four levels of A2-FPN below its pixel decoder (not in the paper), in epochs."""

_base_ = ['mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', '../_base_/necks/a2fpn.py']

custom_imports = dict(imports=['mmagg.register'])

model = dict(
    neck=dict(**_base_.a2fpn, joint_level=False, num_outs=4),
    panoptic_head=dict(in_channels=[256, 256, 256, 256]),
)

train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
param_scheduler = dict(_delete_=True, type='MultiStepLR', end=50, by_epoch=True, milestones=[44, 48], gamma=0.1)
default_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))
log_processor = dict(by_epoch=True)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
