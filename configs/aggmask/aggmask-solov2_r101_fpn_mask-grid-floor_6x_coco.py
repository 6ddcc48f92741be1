"""AggMask on SOLOv2 with coarser mask grids: a cell and its four neighbours, as in AggMask, Eq. 8."""

_base_ = './aggmask-solov2_r101_fpn_mask-grid_6x_coco.py'

model = dict(mask_head=dict(aggregator=dict(neighbours='4', centre='floor')))
