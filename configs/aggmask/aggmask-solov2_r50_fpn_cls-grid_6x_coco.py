"""AggMask on SOLOv2 with finer class grids (AggMask, Table 3, "+cls")."""

_base_ = './aggmask-solov2_r50_fpn_6x_coco.py'

model = dict(
    mask_head=dict(
        grids=(50, 40, 24, 16, 12),
        mask_branch=dict(grids=(40, 36, 24, 16, 12)),
    ),
)
