"""SOLOv2 in its early form, the baseline of `aggmask-solov2_r50_fpn_6x_coco.py` (AggMask, Table 2)."""

_base_ = './aggmask-solov2_r50_fpn_6x_coco.py'

model = dict(mask_head=dict(aggregator=None))
