"""Mask R-CNN whose FPN upsamples by DySample: FPN, made of A2FPN with its modules off but for the top-down step."""

_base_ = '../a2fpn/mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        lateral=dict(type='LateralConvs'),
        top_down=dict(type='DySampleFusion'),
        bottom_up=None,
        joint_level=False,
        finest_conv=False,
    ),
)
