"""BlendMask 56_4_14: four bases from P3 to P5, attention of 14 x 14, masks of 56 x 56."""

_base_ = './fcos_mask_r50_fpn.py'

model = dict(
    mask_head=dict(
        masks=dict(
            type='BlendedMasks',
            basis=dict(type='ProtoNet', in_channels=256, levels=(0, 1, 2), channels=128, num_convs=3, num_bases=4),
            stride=4,
            mask_size=56,
            attention_size=14,
            merger='blend',
            top='bilinear',
            pooling='align',
        ),
        coefficients=dict(in_channels=256),
        semantic=dict(type='SemanticHead', num_classes=80, in_channels=256, channels=128, loss_weight=0.3),
    ),
)
