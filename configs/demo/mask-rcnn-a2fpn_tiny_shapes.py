"""The small Mask R-CNN with A2-FPN instead of FPN."""

_base_ = './mask-rcnn-fpn_tiny_shapes.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[32, 64, 128, 256],
        out_channels=64,
        lateral=dict(type='MultiLevelGlobalContext', channels=64, num_contexts=(32, 24, 16, 8)),
        top_down=dict(type='GACARAFE', reduced_channels=16, gate_channels=32),
        bottom_up=dict(type='GACAP', reduced_channels=16, gate_channels=32),
    ),
)

custom_hooks = [dict(type='AuxiliaryLossHook')]
