"""FCOS with A2-FPN on P3 to P7, the pattern for RetinaNet and its like (not in the paper)."""

_base_ = ['mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', '../_base_/necks/a2fpn_p3.py']

custom_imports = dict(imports=['mmagg.register'])

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        norm_cfg=dict(requires_grad=True), style='pytorch', init_cfg=dict(checkpoint='torchvision://resnet50')
    ),
    neck=dict(_delete_=True, **_base_.a2fpn),
)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric='bbox',
)
test_evaluator = val_evaluator
