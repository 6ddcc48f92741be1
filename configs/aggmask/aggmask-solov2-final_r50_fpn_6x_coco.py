"""AggMask on SOLOv2 in its final form, that of mmdet and of SOLOv2's authors."""

_base_ = './aggmask-solov2_r50_fpn_6x_coco.py'

model = dict(
    mask_head=dict(
        class_tower=dict(channels=512),
        mask_branch=dict(channels=512, feature_channels=128, feature_branch_norm=True, kernel_size=3),
        aggregator=dict(parameters=dict(channels=512)),
    ),
)
