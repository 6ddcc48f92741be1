"""The demo's AggMask with a tower of its own for the parameters, as the release has it on SOLOv2."""

_base_ = './aggmask_tiny_shapes.py'

model = dict(
    mask_head=dict(
        aggregator=dict(
            parameters=dict(features='own_tower', tower=dict(num_convs=3, norm_cfg=dict(type='BN'), init_std=None)),
        ),
    ),
)
