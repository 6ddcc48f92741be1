"""AggMask on SOLO with coarser mask grids (AggMask, Table 3, "-mask")."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(
    mask_head=dict(
        mask_branch=dict(grids=(20, 18, 12, 8, 6)),
        aggregator=dict(neighbours='corners'),
    ),
)
