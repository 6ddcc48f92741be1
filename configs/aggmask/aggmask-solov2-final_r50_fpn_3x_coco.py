"""AggMask on SOLOv2 in its final form, that of mmdet and of SOLOv2's authors."""

_base_ = '../solov2/solov2_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        aggregator=dict(
            type='DynamicAggregator',
            neighbours='4',
            context=dict(type='MultiLevelContext', in_channels=256, channels=16, hidden_channels=256),
            parameters=dict(
                type='DynamicParameters',
                in_channels=256,
                channels=512,
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
