"""RTMDet-Ins-l with A2-FPN on P3 to P5 in the place of its PAFPN (not in the paper)."""

_base_ = 'mmdet::rtmdet/rtmdet-ins_l_8xb32-300e_coco.py'

custom_imports = dict(imports=['mmagg.register'])

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024],
        out_channels=256,
        num_outs=3,
        lateral=dict(type='MultiLevelGlobalContext', num_contexts=(192, 128, 64)),
        top_down=dict(type='GACARAFE'),
        bottom_up=dict(type='GACAP'),
        joint_level=False,
    ),
)

custom_hooks = [*_base_.custom_hooks, dict(type='AuxiliaryLossHook')]

val_evaluator = dict(
    _delete_=True,
    type='COCOInstanceMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
