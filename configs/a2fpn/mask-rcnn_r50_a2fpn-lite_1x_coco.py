"""A2-FPN-Lite (A2-FPN, Sec. 4.3): half the contexts, no F6, no convolution after P2 of the bottom-up pathway."""

_base_ = './mask-rcnn_r50_a2fpn_1x_coco.py'

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    neck=dict(
        lateral=dict(channels=128, num_contexts=(128, 96, 64, 32)),
        joint_level=False,
        finest_conv=False,
    ),
)
