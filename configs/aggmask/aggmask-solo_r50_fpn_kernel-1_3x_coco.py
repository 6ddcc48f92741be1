"""AggMask's ablation (Table 6): 1 x 1 kernels."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(aggregator=dict(kernel_size=1)))
