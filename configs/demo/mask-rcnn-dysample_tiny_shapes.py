"""The small Mask R-CNN whose FPN upsamples by DySample."""

_base_ = './mask-rcnn-fpn_tiny_shapes.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='A2FPN',
        in_channels=[32, 64, 128, 256],
        out_channels=64,
        lateral=dict(type='LateralConvs'),
        top_down=dict(type='DySampleFusion'),
        bottom_up=None,
        joint_level=False,
        finest_conv=False,
    ),
)
