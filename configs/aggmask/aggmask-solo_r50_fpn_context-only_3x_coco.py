"""AggMask's ablation (Table 6): context only, no representations."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(neighbours='none')))
