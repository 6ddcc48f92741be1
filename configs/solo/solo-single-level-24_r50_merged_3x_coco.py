"""One level at stride 8, S = 24 (SOLO, Table 2)."""

_base_ = './solo-single-level_r50_merged_3x_coco.py'

model = dict(mask_head=dict(grids=(24,)))
