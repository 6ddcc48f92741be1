_base_ = './solo_r50_fpn_1x_coco.py'

model = dict(mask_head=dict(mask_branch=dict(type='DecoupledMaskBranch')))
