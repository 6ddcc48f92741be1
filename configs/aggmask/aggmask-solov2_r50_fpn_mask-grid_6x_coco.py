"""AggMask on SOLOv2 with coarser mask grids (AggMask, Table 3, "-mask")."""

_base_ = './aggmask-solov2_r50_fpn_6x_coco.py'

model = dict(
    mask_head=dict(
        mask_branch=dict(grids=(20, 18, 12, 8, 6)),
        aggregator=dict(neighbours='corners'),
    ),
)
