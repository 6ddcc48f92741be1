"""SOLOv2 on ResNet-50 and FPN."""

_base_ = './solo_r50_fpn.py'

model = dict(
    type='SOLOv2',
    mask_head=dict(
        class_tower=dict(channels=512, num_convs=4),
        mask_branch=dict(
            _delete_=True,
            type='DynamicMaskBranch',
            channels=512,
            num_convs=4,
            feature_channels=128,
            out_channels=256,
        ),
    ),
)
