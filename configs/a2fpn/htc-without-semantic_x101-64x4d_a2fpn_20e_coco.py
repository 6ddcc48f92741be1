"""A2-FPN in Hybrid Task Cascade without the semantic branch, ResNeXt-101 64x4d."""

_base_ = './htc-without-semantic_r50_a2fpn_20e_coco.py'

model = dict(
    backbone=dict(
        type='ResNeXt', depth=101, groups=64, base_width=4, init_cfg=dict(checkpoint='open-mmlab://resnext101_64x4d')
    ),
)
