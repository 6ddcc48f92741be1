"""PAFPN, made of A2FPN with every module off (equal to mmdet's): the frame of the paper's ablations."""

_base_ = './mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        lateral=dict(type='LateralConvs'),
        top_down=dict(type='NearestFusion'),
        bottom_up=dict(type='StridedConvFusion'),
        joint_level=False,
        finest_conv=False,
    ),
)

custom_hooks = [dict(type='AuxiliaryLossHook')]
