"""SOLOv2 on EfficientNet-Lite0, with grids and ranges for images of 320 pixels."""

_base_ = './solo_lite0_fpn.py'

model = dict(
    type='SOLOv2',
    mask_head=dict(
        mask_branch=dict(type='DynamicMaskBranch', feature_channels=64, out_channels=64),
    ),
)
