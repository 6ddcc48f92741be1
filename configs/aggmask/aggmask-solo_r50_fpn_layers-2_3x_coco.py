"""AggMask's ablation (Table 6): two layers."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(num_layers=2)))
