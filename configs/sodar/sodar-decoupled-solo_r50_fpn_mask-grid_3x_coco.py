"""SODAR on Decoupled SOLO with coarser mask grids ("-mask"): AggMask with deformable neighbour sampling."""

_base_ = './sodar-decoupled-solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        mask_branch=dict(grids=(20, 18, 12, 8, 6)),
        aggregator=dict(neighbours='corners'),
    ),
)
