"""AggMask on Decoupled SOLO: the representations are the logits of its products."""

_base_ = '../solo/decoupled-solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
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
