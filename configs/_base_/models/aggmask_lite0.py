"""AggMask's aggregation for the small SOLO models, as a second base: 8 channels of context, a tower of its own.

model = dict(mask_head=dict(aggregator=_base_.aggregator))
"""

aggregator = dict(
    type='DynamicAggregator',
    neighbours='4',
    context=dict(type='MultiLevelContext', in_channels=96, num_levels=4, channels=8, hidden_channels=64, num_groups=16),
    parameters=dict(
        type='DynamicParameters',
        in_channels=96,
        channels=96,
        kernel_size=3,
        activation='tanh',
        features='own_tower',
        tower=dict(num_convs=3, norm_cfg=dict(type='GN', num_groups=16), init_std=None),
    ),
    channels=4,
    num_layers=3,
    kernel_size=3,
)
