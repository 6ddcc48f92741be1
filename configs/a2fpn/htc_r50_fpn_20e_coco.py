"""Hybrid Task Cascade, its semantic branch and FPN, 4 GPUs x 2 images (A2-FPN, Table 1, a starred row)."""

_base_ = 'mmdet::htc/htc_r50_fpn_20e_coco.py'

custom_imports = dict(imports=['mmagg.register'])

optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=8)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
