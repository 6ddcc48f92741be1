"""As `coco_polygons_1x.py` in FCOS's own schedule (BlendMask, Sec. 4, "Training details"): no augmentation but flips.

Short side 800; constant warm-up over 1000 iterations, at a third of the rate, which is FCOS's and not said by
BlendMask; biases learn at twice the rate and do not decay, as FCOS's.
"""

_base_ = './coco_polygons_1x.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='Resize', scale=(1333, 800), keep_ratio=True, backend='pillow')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = _base_.param_scheduler
param_scheduler[0] = dict(type='ConstantLR', factor=1 / 3, by_epoch=False, begin=0, end=1000)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, bias_lr_mult=2.0, bias_decay_mult=0.0))
