"""AggMask on SOLO (AggMask, Table 2), with the switches of the release."""

_base_ = '../solo/solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        assigner=dict(min_area=10, rounding='floor'),  # of early SOLO, as in the release
        aggregator=dict(
            type='DynamicAggregator',
            neighbours='4',
            context=dict(type='MultiLevelContext', in_channels=256, channels=16, hidden_channels=256),
            parameters=dict(type='DynamicParameters', in_channels=256, channels=256, kernel_size=3, activation='tanh'),
            channels=4,
            num_layers=3,
            kernel_size=3,
        ),
    ),
)
