"""The final model, short side 640 to 800, 270k iterations (180k, 240k; BlendMask, Sec. 4.2 and Table 8)."""

_base_ = './blendmask_r50_fpn_deeplab-p3p5-256_1x_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='RandomResize', scale=[(1333, 640), (1333, 800)], keep_ratio=True, backend='pillow')
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=37)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=37, milestones=[25, 33])
