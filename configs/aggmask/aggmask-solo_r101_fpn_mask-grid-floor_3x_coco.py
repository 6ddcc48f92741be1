"""AggMask on SOLO with coarser mask grids: a cell and its four neighbours, as in AggMask, Eq. 8."""

_base_ = './aggmask-solo_r101_fpn_mask-grid_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(neighbours='4', centre='floor')))
