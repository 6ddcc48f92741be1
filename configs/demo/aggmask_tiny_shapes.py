"""The demo's SOLO with AggMask's aggregation on top (`make demo`).

A cell's mask is a small conv net, with weights that the cell predicts, over the maps of the cell and its four
neighbours and over eight channels of context. The weights come from a tower of their own, as the release has it on
SOLOv2: the small class tower has enough to do with the classes.
"""

_base_ = './solo_tiny_shapes.py'

model = dict(
    mask_head=dict(
        aggregator=dict(
            type='DynamicAggregator',
            neighbours='4',
            context=dict(
                type='MultiLevelContext', in_channels=64, num_levels=1, channels=8, hidden_channels=64, num_groups=8
            ),
            parameters=dict(
                type='DynamicParameters',
                in_channels=64,
                channels=64,
                kernel_size=3,
                activation='tanh',
                features='own_tower',
                tower=dict(num_convs=3, norm_cfg=dict(type='BN'), init_std=None),
            ),
            channels=4,
            num_layers=3,
            kernel_size=3,
        ),
    ),
)
