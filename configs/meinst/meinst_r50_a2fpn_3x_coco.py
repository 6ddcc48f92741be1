"""MEInst with A2-FPN on P3 to P7 (not in either paper)."""

_base_ = './meinst_r50_fpn_3x_coco.py'

custom_hooks = [dict(type='AuxiliaryLossHook')]

model = dict(
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
