"""Decoupled SOLO, ResNet-101 with deformable convolutions in C3 to C5, 72 epochs (SOLO, Table 1)."""

_base_ = './decoupled-solo_r101_fpn_6x_coco.py'

model = dict(
    backbone=dict(
        dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    )
)
