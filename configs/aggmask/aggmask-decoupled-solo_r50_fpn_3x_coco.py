"""AggMask on Decoupled SOLO: the representations are the logits of its products."""

_base_ = './aggmask-solo_r50_fpn_3x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(type='DecoupledMaskBranch')))
