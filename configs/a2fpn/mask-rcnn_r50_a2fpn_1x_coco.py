"""A2-FPN in Mask R-CNN (A2-FPN, Table 1)."""

_base_ = './mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    data_preprocessor=dict(pad_size_divisor=64),
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        lateral=dict(type='MultiLevelGlobalContext'),
        top_down=dict(type='GACARAFE'),
        bottom_up=dict(type='GACAP'),
    ),
)

custom_hooks = [dict(type='AuxiliaryLossHook')]
