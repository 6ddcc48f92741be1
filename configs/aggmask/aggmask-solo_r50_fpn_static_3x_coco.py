"""AggMask's ablation (Table 6): static aggregation, the same parameters in every cell."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(parameters=dict(_delete_=True, type='StaticParameters'))))
