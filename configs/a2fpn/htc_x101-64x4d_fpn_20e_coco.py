"""Hybrid Task Cascade and FPN, ResNeXt-101 64x4d (A2-FPN, Table 1, a starred row)."""

_base_ = './htc_r50_fpn_20e_coco.py'

model = dict(
    backbone=dict(
        type='ResNeXt', depth=101, groups=64, base_width=4, init_cfg=dict(checkpoint='open-mmlab://resnext101_64x4d')
    ),
)
