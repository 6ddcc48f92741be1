"""AggMask on SOLOv2 with the finest class grids of the release, 60-50-36-16-12 (AggMask, Table 5, test-dev)."""

_base_ = './aggmask-solov2_r101_fpn_6x_coco.py'

model = dict(
    mask_head=dict(
        grids=(60, 50, 36, 16, 12),
        mask_branch=dict(grids=(40, 36, 24, 16, 12)),
    ),
)
