"""SOLO with A2-FPN (not in the paper)."""

_base_ = '../solo/solo_r50_fpn_3x_coco.py'

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
