"""SOLOv2 on EfficientNet-Lite0, with grids and ranges for images of 320 pixels."""

_base_ = './solo_lite0_fpn.py'

model = dict(
    type='SOLOv2',
    mask_head=dict(
        class_tower=dict(init_std=0.01),
        mask_branch=dict(
            _delete_=True,
            type='DynamicMaskBranch',
            channels=96,
            feature_channels=64,
            out_channels=64,
            num_convs=3,
            norm_cfg=_base_.norm,
        ),
    ),
)
