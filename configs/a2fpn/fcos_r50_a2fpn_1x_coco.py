"""FCOS with A2-FPN on P3 to P7: how a neck for FCOS or RetinaNet is made (not in the paper)."""

_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'

custom_imports = dict(imports=['mmagg.register'])
custom_hooks = [dict(type='AuxiliaryLossHook')]

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        norm_cfg=dict(requires_grad=True), style='pytorch', init_cfg=dict(checkpoint='torchvision://resnet50')
    ),
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        start_level=1,
        lateral=dict(type='MultiLevelGlobalContext', channels=128, num_contexts=(96, 64, 32)),
        top_down=dict(type='GACARAFE'),
        bottom_up=dict(type='GACAP'),
        joint_level=False,
        finest_conv=False,
        add_extra_convs='on_output',
        relu_before_extra_convs=True,
    ),
)

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric='bbox',
)
test_evaluator = val_evaluator
