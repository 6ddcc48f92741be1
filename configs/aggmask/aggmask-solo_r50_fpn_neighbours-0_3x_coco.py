"""AggMask's ablation (Table 6): no neighbours, |N| = 0."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(neighbours='self')))
