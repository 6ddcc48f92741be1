"""SODAR on Decoupled SOLO with finer class grids ("+cls"): AggMask with deformable neighbour sampling."""

_base_ = './sodar-decoupled-solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        grids=(50, 40, 24, 16, 12),
        mask_branch=dict(grids=(40, 36, 24, 16, 12)),
    ),
    test_cfg=dict(max_per_img=300),
)
