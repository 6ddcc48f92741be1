"""AggMask on SOLOv2 (AggMask, Table 2): the early form of SOLOv2 that the release builds on, and its switches."""

_base_ = ['../_base_/models/solo_r50_fpn.py', '../_base_/coco_6x.py']

model = dict(
    type='SOLOv2',
    mask_head=dict(
        class_tower=dict(num_convs=4),
        mask_branch=dict(
            _delete_=True,
            type='DynamicMaskBranch',
            channels=256,
            num_convs=4,
            feature_channels=256,
            out_channels=256,
            feature_branch_norm=False,
            kernel_size=1,
        ),
        assigner=dict(min_area=10, rounding='floor'),  # of early SOLO, as in the release
        aggregator=dict(
            type='DynamicAggregator',
            neighbours='4',
            context=dict(type='MultiLevelContext', in_channels=256, channels=16, hidden_channels=256),
            parameters=dict(
                type='DynamicParameters',
                in_channels=256,
                channels=256,
                kernel_size=1,
                activation='none',
                features='own_tower',
                tower=dict(num_convs=4),
            ),
            channels=4,
            num_layers=3,
            kernel_size=3,
        ),
    ),
    test_cfg=dict(max_per_img=300),
)
