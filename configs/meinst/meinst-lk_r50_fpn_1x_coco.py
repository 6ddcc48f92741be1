"""Codes from 9 x 1 and 1 x 9 instead of 3 x 3 convolutions, and no deformable ones (MEInst, Table 5, second row)."""

_base_ = './meinst-none_r50_fpn_1x_coco.py'

model = dict(mask_head=dict(coefficients=dict(large_kernel=9)))
