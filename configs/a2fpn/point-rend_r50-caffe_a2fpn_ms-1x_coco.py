"""PointRend with A2-FPN (not in the paper)."""

_base_ = ['mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py', '../_base_/necks/a2fpn.py']

custom_imports = dict(imports=['mmagg.register'])

model = dict(data_preprocessor=dict(pad_size_divisor=64), neck=dict(_delete_=True, **_base_.a2fpn))


val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
