"""One level at stride 8 merged from C3 to C5, all objects on it; S = 36 (SOLO, Table 2)."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(
    backbone=dict(out_indices=(1, 2, 3)),
    neck=dict(_delete_=True, type='MergedLevel', in_channels=[512, 1024, 2048], out_channels=256),
    mask_head=dict(feature_strides=(8,), strides=(8,), grids=(36,), assigner=dict(scale_ranges=((1, 2048),))),
)
