"""Table 3 of the paper: no pixel coordinates."""

_base_ = './solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(coordinates=False)))
