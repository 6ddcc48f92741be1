"""A2-FPN in Cascade Mask R-CNN (A2-FPN, Table 1)."""

_base_ = ['mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py', '../_base_/necks/a2fpn.py']

custom_imports = dict(imports=['mmagg.register'])

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))

optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=8)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
